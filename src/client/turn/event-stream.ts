import { DiscedgeClientError } from '../errors.ts';

/** Longest event: the last one carries the whole reply's fields, far below this even for a full context window. */
const EVENT_CHARS_MAX = 16 * 1024 * 1024;

/**
 * The `data` of each server-sent event, parsed as JSON, in order. Ends with the body. Throws `reply_malformed` for data
 * that is not JSON and `reply_cut` when the body breaks off with an error. `heard` is called whenever something comes, comments
 * included.
 */
export async function* readEvents(
  response: Response,
  node: string,
  heard: () => void = () => {},
): AsyncGenerator<unknown, void, undefined> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await readChunk(reader, node);
      if (done) return;
      heard();
      rest += decoder.decode(value, { stream: true });
      if (rest.length > EVENT_CHARS_MAX) throw malformed('an event is too long', node);
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop() as string;
      for (const block of blocks) {
        const data = dataOf(block);
        if (data !== undefined && data !== '[DONE]') yield parse(data, node);
      }
    }
  } finally {
    // Frees the connection when the reader of these events leaves early; the body may be broken already.
    await reader.cancel().catch(() => {});
  }
}

async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>, node: string) {
  try {
    return await reader.read();
  } catch (cause) {
    throw new DiscedgeClientError(`${node} broke off in the middle of a reply`, {
      code: 'reply_cut',
      retry: true,
      node,
      cause,
    });
  }
}

function dataOf(block: string): string | undefined {
  const lines = block.split(/\r?\n/).filter((line) => line.startsWith('data:'));
  return lines.length === 0 ? undefined : lines.map((line) => line.slice('data:'.length).trimStart()).join('\n');
}

function parse(data: string, node: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    throw malformed('an event is not JSON', node);
  }
}

function malformed(what: string, node: string): DiscedgeClientError {
  return new DiscedgeClientError(`${node} answered with something that is not a DisCEdge reply: ${what}`, {
    code: 'reply_malformed',
    node,
  });
}
