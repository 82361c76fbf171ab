import { expect } from 'vitest';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { sessionKey } from '../../tools/turn-records.ts';
import type { StoreNode } from './nats-cluster.ts';
import { eventually } from './sharing-store-node.ts';

/** Both write while `fault` happens; then both must hold everything. */
export async function survive(a: StoreNode, b: StoreNode, fault: () => Promise<void>): Promise<void> {
  const [endA, endB] = [keepWriting(a, 'a'), keepWriting(b, 'b')];
  await eventually(() => expect(Math.min(a.arrived.length, b.arrived.length)).toBeGreaterThan(20));
  await fault();
  const [arrivedA, arrivedB] = [a.arrived.length, b.arrived.length];
  await eventually(() => {
    expect(a.arrived.length).toBeGreaterThan(arrivedA);
    expect(b.arrived.length).toBeGreaterThan(arrivedB);
  });
  const [fromA, fromB] = [await endA(), await endB()];
  await Promise.all([b.eventuallyHolds(fromA), a.eventuallyHolds(fromB)]);
  for (const { arrived } of [a, b]) expect(new Set(arrived).size).toBe(arrived.length);
}

/** Writes at a node until told to stop; every record given back was acknowledged. */
function keepWriting(node: StoreNode, name: string): () => Promise<SealedRecord[]> {
  let goOn = true;
  const written: SealedRecord[] = [];
  const done = (async () => {
    for (let i = 0; goOn; i++) {
      written.push(await node.write({ key: sessionKey(`${name}${i}`) }));
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  return async () => {
    goOn = false;
    await done;
    return written;
  };
}
