import { DiscedgeClientError } from '../../../src/client/errors.ts';
import { readEvents } from '../../../src/client/turn/event-stream.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const PIECE_BYTES = 7;

/** Event streams that a client gets from a node, or from what it takes for one: the same whole as in pieces. */
export const open: OpenTarget = () => ({
  seeds: ['data: {"content":"é"}\n\ndata: [DONE]\n\n', ': ping\n\ndata: {"a":\ndata: 1}\r\n\r\n', 'data: x\n\n'],
  words: ['data: ', 'data:', '\n\n', '\r\n\r\n', '{"stop":true}', '[DONE]'],
  async check(input) {
    const pieces = [];
    for (let at = 0; at < input.length; at += PIECE_BYTES) pieces.push(input.subarray(at, at + PIECE_BYTES));
    const [whole, cut] = [await eventsOf([input]), await eventsOf(pieces)];
    if (whole !== cut) throw new Error(`other events: ${whole} and ${cut}`);
  },
});

async function eventsOf(pieces: readonly Uint8Array[]): Promise<string> {
  const events: unknown[] = [];
  try {
    const body = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(piece);
        controller.close();
      },
    });
    for await (const event of readEvents(new Response(body), 'a')) events.push(event);
  } catch (error) {
    if (!(error instanceof DiscedgeClientError)) throw error;
    events.push(error.code);
  }
  return JSON.stringify(events);
}
