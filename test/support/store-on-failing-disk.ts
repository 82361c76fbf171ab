// A program for LD_PRELOAD=failing-disk.so: makes the disk fail in one way (argument 2) under an open LevelDB store, and
// prints as JSON what each call gave before, during and after.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { sealedTurn, sessionKey } from '../../tools/turn-records.ts';

const [folder = '', failure = ''] = process.argv.slice(2);
const failureFile = join(process.env.FAILING_DISK ?? '', failure);
const open = () =>
  openLevelStore(
    { folder, nodeId: 'n' as NodeId, bytesMax: 1_000_000 },
    nodeEnvironment({ logLevel: 'silent', nodeId: 'n' }),
  );

let store = await open();
const append = (sessionId: string) =>
  store.append(sealedTurn({ key: sessionKey(sessionId) })).then(
    () => 'acknowledged',
    (error) => error.code ?? String(error),
  );
const held = async () => {
  const names: string[] = [];
  for (const name of ['before', 'during-1', 'during-2', 'during-3', 'after'])
    if (((await store.read(sessionKey(name)))?.records.length ?? 0) > 0) names.push(name);
  return names;
};

const report: Record<string, unknown> = {};
report.before = await append('before');
writeFileSync(failureFile, '');
report.during = [await append('during-1'), ...(await Promise.all([append('during-2'), append('during-3')]))];
report.heldDuring = await held();
rmSync(failureFile);
report.after = await append('after');
report.retried = await append('during-1');
report.heldAfter = await held();
report.status = await store.status();
await store.close();
store = await open();
report.heldReopened = await held();
report.statusReopened = await store.status();
await store.close();
console.log(`report ${JSON.stringify(report)}`);
