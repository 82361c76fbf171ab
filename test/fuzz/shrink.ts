import { type Fault, faultOf } from './fault.ts';
import type { FuzzTarget } from './fuzz-target.ts';

/** Slow inputs are tried less often. */
const SHRINKING_MS = 20_000;

/** A shorter input that breaks the same: pieces are left out, large ones first, for as long as it does. */
export async function shrunk(target: FuzzTarget, input: Buffer, { kind }: Fault): Promise<Buffer> {
  const until = Date.now() + SHRINKING_MS;
  const breaks = async (bytes: Buffer) => Date.now() < until && (await faultOf(target, bytes))?.kind === kind;
  let shortest = input;
  for (let piece = input.length >> 1; piece >= 1; piece >>= 1) {
    for (let at = 0; at < shortest.length; ) {
      const without = Buffer.concat([shortest.subarray(0, at), shortest.subarray(at + piece)]);
      if (await breaks(without)) shortest = without;
      else at += piece;
    }
  }
  return shortest;
}
