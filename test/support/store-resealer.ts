// A program: opens a LevelDB store whose rows are to be sealed anew, and appends beside that until it is killed. What is acknowledged
// it writes to a file at once, a line each.
import { openSync, writeSync } from 'node:fs';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { keyRing } from './key-rings.ts';

const [folder = '', acksPath = '', prefix = '', letters = '', announceAfter = '1'] = process.argv.slice(2);

const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'writer' });
const encryption = keyRing(...letters);
const store = await openLevelStore(
  { folder, nodeId: 'writer' as NodeId, bytesMax: 1_000_000_000, encryption },
  environment,
);
const acks = openSync(acksPath, 'a');
for (let appended = 1; ; appended++) {
  const key = sessionKey(`${prefix}-${appended}`);
  const sealed = sealedTurn({ key });
  await store.append(sealed);
  writeSync(acks, `${key.sessionId} ${sealed.hash}\n`);
  if (appended === Number(announceAfter)) console.log('announced');
}
