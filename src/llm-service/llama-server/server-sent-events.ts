import { badReply } from './server-errors.ts';

/** Longest event: the last one carries the prompt's text, six bytes a character at worst when escaped. */
const EVENT_CHARS_MAX = 64 * 1024 * 1024;

/**
 * The `data` of server-sent events out of bytes cut anywhere. Comments (llama-server's pings) and other fields are left
 * out; an event that the stream ends in the middle of is dropped.
 */
export async function* readServerSentEvents(bytes: AsyncIterable<Uint8Array>, url: URL): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string | undefined;
  for await (const chunk of bytes) {
    // Only what is new can hold a line's end: looking at the rest again and again is quadratic in a long event.
    let searchFrom = rest.length;
    rest += decoder.decode(chunk, { stream: true });
    let lineStart = 0;
    for (;;) {
      const lineEnd = rest.indexOf('\n', searchFrom);
      if (lineEnd < 0) break;
      const line = rest.slice(lineStart, rest[lineEnd - 1] === '\r' ? lineEnd - 1 : lineEnd);
      lineStart = searchFrom = lineEnd + 1;
      if (line.startsWith('data:')) {
        const more = line.slice(line[5] === ' ' ? 6 : 5);
        data = data === undefined ? more : `${data}\n${more}`;
      }
      if (line !== '' || data === undefined) continue;
      yield data;
      data = undefined;
    }
    rest = rest.slice(lineStart);
    if (rest.length + (data?.length ?? 0) > EVENT_CHARS_MAX) throw badReply(url, 'an endless event');
  }
}
