// What an import writes is this node's own: tries to find a record of it that is not signed as such, which every other node refuses.
import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { isSignedWith, keyIdOf, signWith } from '../../../src/context-store/replication/signatures/node-key.ts';
import type { SessionId, UserId } from '../../../src/domain/identifiers.ts';
import { sealSigned, signatureOf } from '../../../src/domain/record/record-signature.ts';
import type { TurnRecord } from '../../../src/domain/record/turn-record.ts';
import { type Rig, replicaRig } from '../../support/context-manager-rig.ts';

const gone = new AbortController().signal;
const signing = async () => {
  const node = await replicaRig();
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = { keyId: keyIdOf(publicKey), sign: (message: Uint8Array) => signWith(privateKey, message) };
  Object.assign(node.store.sharing, { seal: (record: TurnRecord) => sealSigned(record, signer) });
  return { node, publicKey };
};
const imported = ({ manager }: Rig, turns: ReturnType<Rig['records']>) =>
  manager.imports.import(
    {
      ...{ userId: 'ada' as UserId, sessionId: 'back' as SessionId, turns, ttlSeconds: undefined },
      faultOf: () => undefined,
    },
    gone,
  );

it('is signed by the node that takes it in, and one that is sent again is the one that is there', async () => {
  const [from, here] = [await signing(), await signing()];
  await from.node.turns('s', { to: 3 });
  const first = await imported(here.node, from.node.records('s'));
  expect(first).toMatchObject({ turns: 3, replayed: false });
  expect(await imported(here.node, from.node.records('s'))).toMatchObject({ replayed: true, tip: first.tip });
  const signed = here.node.records('back').map(({ record }) => signatureOf(record));
  expect(signed).toHaveLength(3);
  for (const each of signed)
    expect(isSignedWith(here.publicKey, each?.message as Uint8Array, each?.signature as Uint8Array)).toBe(true);
});
