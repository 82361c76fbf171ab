// After a user was erased no file of LevelDB has a word of it: whether the words are in a log, in a young table file or in
// old ones below others, with other users' records around them, and when the user was the only one of its model.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openLevelStore } from '../../../src/context-store/leveldb.ts';
import type { NodeId, UserId } from '../../../src/domain/identifiers.ts';
import { sealedErasure, sealedWords, sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { filesWith } from '../../support/files-with.ts';

const USER = 'erased-user' as UserId;
const [BETWEEN, LONELY] = ['eeeeddccbbaa0099', 'ffeeddccbbaa0099'];

test.for([0, 1, 4])('no file has what was erased, with %i starts since it was written', async (starts) => {
  const folder = await mkdtemp(join(tmpdir(), 'discedge-erased-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const open = () =>
    openLevelStore({ folder, nodeId: 'node-1' as NodeId, bytesMax: 1_000_000_000 }, virtualEnvironment());
  let store = await open();
  // Not repeated within a record, or LevelDB would keep it compressed.
  const [canary, kept] = ['canary-7f3a91', 'someone-elses-words'];
  const user = (id: string, keygroup?: string) => sessionKey(id, USER, keygroup);
  for (let round = 0; round <= starts; round++) {
    for (let i = 0; i < 20; i++) {
      await store.append(sealedWords(user(`s${round}-${i}`), `${canary}${round}.${i}`));
      await store.append(sealedWords(sessionKey(`s${round}-${i}`, 'before'), kept));
      await store.append(sealedWords(sessionKey(`s${round}-${i}`, 'zero'), kept + 'x'.repeat(20_000)));
    }
    // So much of others' before it that it shares no table file with what else goes.
    for (let i = 0; i < 100; i++) {
      const words = randomBytes(40_000).toString('base64');
      await store.append(sealedWords(sessionKey(`b${round}-${i}`, 'zero', BETWEEN), words));
    }
    await store.append(sealedWords(user(`lonely${round}`, LONELY), canary));
    if (round === starts) break;
    await store.close();
    store = await open();
  }
  expect(await filesWith(folder, canary)).not.toEqual([]);
  await store.append(sealedErasure({ userId: USER }));
  expect(await store.erase(USER)).toEqual({ sessions: 21 * (starts + 1), next: undefined });
  await store.wipeErased(USER);
  expect(await filesWith(folder, canary)).toEqual([]);
  expect((await store.read(sessionKey('s0-0', 'before')))?.records).toHaveLength(1);
  await store.close();
  expect(await filesWith(folder, canary)).toEqual([]);
  expect(await filesWith(folder, kept)).not.toEqual([]);
});
