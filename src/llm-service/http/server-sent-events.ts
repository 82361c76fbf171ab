import { badReply } from '../llama-server/server-errors.ts';

/** Longest event: the last one carries the prompt's text, six bytes a character at worst when escaped. */
const EVENT_CHARS_MAX = 64 * 1024 * 1024;

/**
 * The `data` of server-sent events out of bytes cut anywhere. Comments (llama-server's pings) and other fields are left
 * out; an event that the stream ends in the middle of is dropped.
 */
export async function* readServerSentEvents(bytes: AsyncIterable<Uint8Array>, url: URL): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let line = '';
  let data: string | undefined;
  for await (const chunk of bytes) {
    // Splitting only what is new: looking for the end of a long event in all of it again and again is quadratic.
    const pieces = decoder.decode(chunk, { stream: true }).split('\n');
    for (const [i, piece] of pieces.entries()) {
      line += piece;
      if (i === pieces.length - 1) break;
      const content = dataOf(line);
      if (content !== undefined) data = data === undefined ? content : `${data}\n${content}`;
      const isEventEnd = line === '' || line === '\r';
      line = '';
      if (!isEventEnd || data === undefined) continue;
      yield data;
      data = undefined;
    }
    if (line.length + (data?.length ?? 0) > EVENT_CHARS_MAX) throw badReply(url, 'an endless event');
  }
}

function dataOf(line: string): string | undefined {
  return /^data: ?(.*?)\r?$/s.exec(line)?.[1];
}
