// A program: appends to a LevelDB store as fast as it can until it is killed. What is acknowledged, it writes to a file
// at once, one line each, so that the file holds no less than what was acknowledged when the kill came.
import { openSync, writeSync } from 'node:fs';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { sealedLine, sealedTombstone, sealedTurn, sessionKey } from '../../tools/turn-records.ts';

const [folder = '', acksPath = '', prefix = '', announceAfter = '1'] = process.argv.slice(2);
const WRITERS = 6;
const TURNS = 5;

const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'writer' });
const store = await openLevelStore({ folder, nodeId: 'writer' as NodeId, bytesMax: 1_000_000_000 }, environment);
const acks = openSync(acksPath, 'a');
const note = (...words: string[]) => writeSync(acks, `${words.join(' ')}\n`);
let appended = 0;

async function writeSessions(writer: number): Promise<never> {
  for (let i = 0; ; i++) {
    const key = sessionKey(`${prefix}-${writer}-${i}`);
    for (const sealed of sealedLine(TURNS, { key, replyTokens: 80 })) {
      await store.append(sealed);
      note('turn', key.sessionId, sealed.hash);
      if (++appended === Number(announceAfter)) console.log('announced');
    }
    if (i % 3 === 0) {
      note('deleting', key.sessionId);
      await store.append(sealedTombstone({ key }));
      note('deleted', key.sessionId);
    }
    if (i % 4 === 0) {
      await store.append(sealedTurn({ key: sessionKey(`expired-${prefix}-${writer}-${i}`), expiresAtMs: 1 }));
      await store.expire(2);
    }
  }
}

await Promise.all(Array.from({ length: WRITERS }, (_, writer) => writeSessions(writer)));
