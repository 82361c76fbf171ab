import { ServerSentEvents } from '../../../src/llm-service/http/server-sent-events.ts';
import type { OpenTarget } from '../fuzz-target.ts';

/** Event streams of inference servers: what comes of one does not depend on where it is cut. */
export const open: OpenTarget = () => ({
  seeds: ['data: {"a":1}\n\ndata: [DONE]\n\n', ': ping\n\ndata:é\r\ndata: 漢\r\n\r\n', 'event: x\nid: 1\ndata\n\n'],
  words: ['data: ', 'data:', '\n\n', '\r\n\r\n', '\r', ': ', 'event: '],
  check(input) {
    const whole = eventsOf([input]);
    const bytes = eventsOf([...input].map((byte) => Buffer.of(byte)));
    const half = eventsOf([input.subarray(0, input.length >> 1), input.subarray(input.length >> 1)]);
    if (whole.join('\0') !== bytes.join('\0') || whole.join('\0') !== half.join('\0')) throw new Error('other events');
  },
});

function eventsOf(pieces: readonly Uint8Array[]): string[] {
  const events = new ServerSentEvents(() => new Error('endless'));
  return pieces.flatMap((piece) => events.push(piece));
}
