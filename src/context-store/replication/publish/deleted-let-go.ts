import type { KeygroupId } from '../../../domain/identifiers.ts';
import type { Clock } from '../../../environment/environment.ts';
import { pause } from '../../../waiting/pause.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';

/** How often one looks whether what carries records has let go of what is deleted, while somebody waits for that. */
const LOOK_EVERY_MS = 200;

/** Resolves when what carries records has let go of those of this node that are deleted by now. Throws the signal's reason. */
export async function deletedLetGo(
  replica: ReplicaStore,
  keygroup: KeygroupId,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { nodeId: origin, incarnation } = replica;
  const { sequence: last } = replica.cursor({ origin, incarnation, keygroup });
  for (let after = 0; ; ) {
    const [first] = await replica.deletedRecords(keygroup, { after, limit: 1 });
    if (first === undefined || first > last) return;
    after = first - 1;
    signal.throwIfAborted();
    await pause(clock, LOOK_EVERY_MS, signal);
  }
}
