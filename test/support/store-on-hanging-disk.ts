// A program for LD_PRELOAD=failing-disk.so: appends turns of one session while a sync does not end. Argument 2 says what
// happens then: it ends (`hang`), the process is killed (`kill`), or nothing hangs and one looks what is there (`look`).
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import { OutcomeUnknown } from '../../src/context-store/outcome-unknown.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { sealedLine, sessionKey } from '../../tools/turn-records.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

const COMMIT_WAIT_MS = 30_000;
const [folder = '', step = ''] = process.argv.slice(2);
const hangFile = join(process.env.FAILING_DISK ?? '', 'hang');
const environment = virtualEnvironment();
const store = await openLevelStore({ folder, nodeId: 'n' as NodeId, bytesMax: 1_000_000 }, environment);
let told = 0;
store.onRecord(() => told++);

const key = sessionKey('s');
const [first, second, third] = sealedLine(3, { key }) as [SealedRecord, SealedRecord, SealedRecord];
const held = async () => (await store.read(key))?.records.length ?? 0;
let unknown: OutcomeUnknown | undefined;
const append = (sealed: SealedRecord) =>
  store.append(sealed).then(
    () => 'acknowledged',
    (error) => {
      if (error instanceof OutcomeUnknown) unknown = error;
      return unknown === error ? 'outcome unknown' : (error.code ?? String(error));
    },
  );
const appendWhileHanging = async (sealed: SealedRecord) => {
  writeFileSync(hangFile, '');
  const outcome = append(sealed);
  await environment.advance(0);
  await environment.advance(COMMIT_WAIT_MS);
  return outcome;
};
const print = (report: Record<string, unknown>) => console.log(`report ${JSON.stringify(report)}`);

if (step === 'hang') {
  const before = await append(first);
  const during = await appendWhileHanging(second);
  const open = unknown as OutcomeUnknown | undefined;
  const behind = await append(third);
  const heldDuring = await held();
  rmSync(hangFile);
  await open?.known;
  const [heldAfter, toldAfter] = [await held(), told];
  const again = await append(second);
  print({ before, during, behind, heldDuring, heldAfter, toldAfter, again, heldAgain: await held() });
  await store.close();
} else if (step === 'kill') {
  print({ during: await appendWhileHanging(third) });
  process.kill(process.pid, 'SIGKILL');
} else {
  const stored = await store.read(key);
  const again = await append(third);
  print({ held: stored?.records.length, corrupt: stored?.corrupt, again, heldAgain: await held() });
  await store.close();
}
