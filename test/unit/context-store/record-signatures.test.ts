// A member of the cluster with a certificate of its own tries to write in another's name: by forging, altering, re-signing, stripping
// and copying records, by passing them on in every way in which records come, and by claiming keys that are not the other's.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Authority, issueAuthority, issueNode, readAuthority } from '../../../src/certificates/issue.ts';
import { openReplica, type ReplicaStore } from '../../../src/context-store/leveldb/replica.ts';
import { nodesNamedIn } from '../../../src/context-store/nats/names.ts';
import { deltaBytes, openDelta } from '../../../src/context-store/replication/delta/delta-record.ts';
import { Applier } from '../../../src/context-store/replication/pull/applier.ts';
import { backFill } from '../../../src/context-store/replication/pull/back-fill.ts';
import { SessionFetches, type SessionHolder } from '../../../src/context-store/replication/pull/session-fetches.ts';
import { KnownSigners, SignerUnknown } from '../../../src/context-store/replication/signatures/known-signers.ts';
import { isSignedWith, signWith } from '../../../src/context-store/replication/signatures/node-key.ts';
import { writeStatement } from '../../../src/context-store/replication/signatures/signer-statement.ts';
import { beginSigning, type Signing } from '../../../src/context-store/replication/signatures/signing.ts';
import { DOCUMENTS_KEYGROUP } from '../../../src/domain/cluster/documents.ts';
import {
  type KeygroupId,
  type NodeId,
  parseClusterName,
  parseNodeId,
  type SessionKey,
} from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { sealSigned, signatureOf, signedLike, unsigned } from '../../../src/domain/record/record-signature.ts';
import type { TurnRecord } from '../../../src/domain/record/turn-record.ts';
import { HOUR_MS, KEYGROUP, sealedTurn, sessionKey, turnRecord, WRITTEN_AT_MS } from '../../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

const cluster = parseClusterName('blue');
const LOG = { origin: 'node-1' as NodeId, incarnation: '0badcafe' as never, keygroup: KEYGROUP };
const DAY_MS = 24 * HOUR_MS;
/** When the nodes here begin to sign. */
const SINCE_MS = WRITTEN_AT_MS;
const later = { writtenAtMs: SINCE_MS + 1_000 };

let ours: Authority;
let theirs: Authority;
let folder: string;
let environment: VirtualEnvironment;
let replica: ReplicaStore;
/** Writes the log. */
let origin: Signing;
/** Has a certificate of the cluster, too. */
let hostile: Signing;

beforeAll(async () => {
  ours = await authority();
  theirs = await authority();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-signed-'));
  environment = virtualEnvironment({ startMs: SINCE_MS });
  replica = await openReplica({ folder, nodeId: 'node-2' as NodeId, bytesMax: 1e8 }, environment);
  origin = await signing(ours, 'node-1');
  hostile = await signing(ours, 'node-3');
});
afterEach(async () => {
  await replica.close();
  await rm(folder, { recursive: true });
});

describe('a record', () => {
  it('of a node whose certificate lists keygroups is none of another keygroup, and no API key', async () => {
    const limited = await signing(ours, 'node-1', SINCE_MS, [KEYGROUP]);
    const faultOf = (key: SessionKey) => known(limited).faultOf(sealSigned(turnRecord({ ...later, key }), limited));
    expect(faultOf(sessionKey())).toBeUndefined();
    expect(faultOf(sessionKey('s', 'ada', 'ffeeddccbbaa9988'))).toBe('not_listed');
    expect(faultOf(sessionKey('ada', 'user-preferences', DOCUMENTS_KEYGROUP))).toBeUndefined();
    expect(faultOf(sessionKey('id', 'api-key', DOCUMENTS_KEYGROUP))).toBe('not_listed');
  });

  it('is its writer’s whatever carries it, and nobody else’s with one bit changed', () => {
    const signers = known(origin);
    const sealed = sealSigned(turnRecord(later), origin);
    expect(signers.faultOf(sealed)).toBeUndefined();
    const log = { origin: LOG.origin, incarnation: LOG.incarnation, keygroup: KEYGROUP };
    const carried = openDelta(deltaBytes(sealed), log, () => undefined);
    expect(carried.hash).toBe(sealed.hash);
    expect(signers.faultOf(carried)).toBeUndefined();
    const altered = sealRecord(signedLike(turnRecord({ ...later, variant: 1 }), sealed.record));
    expect(signers.faultOf(altered)).toBe('bad_signature');
    const moved = sealRecord(signedLike(turnRecord({ ...later, key: sessionKey('another') }), sealed.record));
    expect(signers.faultOf(moved)).toBe('bad_signature');
  });

  it('is signed by the node that it names, and by no other of the cluster', () => {
    const signers = known(origin, hostile);
    expect(() => signers.faultOf(sealSigned(turnRecord(later), hostile))).toThrow(SignerUnknown);
    const asOrigins = { ...hostile, keyId: origin.keyId };
    expect(signers.faultOf(sealSigned(turnRecord(later), asOrigins))).toBe('bad_signature');
    const own = sealSigned({ ...turnRecord(later), origin: 'node-3' as NodeId }, hostile);
    expect(signers.faultOf(own)).toBeUndefined();
  });

  it('has one signature, so that nobody can make a second record of it', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const message = Buffer.from('message');
    for (let round = 0; round < 40; round++) {
      const signature = signWith(privateKey, message);
      expect(isSignedWith(publicKey, message, signature)).toBe(true);
      expect(isSignedWith(publicKey, message, otherOf(signature))).toBe(false);
    }
  });

  it('may be without a signature only as long as its writer did not sign', async () => {
    const of = (writtenAtMs: number) => sealedTurn({ writtenAtMs });
    expect(known().faultOf(of(SINCE_MS + 1))).toBeUndefined();
    const signers = known(origin);
    expect(signers.faultOf(of(SINCE_MS - 1))).toBeUndefined();
    expect(signers.faultOf(of(SINCE_MS))).toBe('unsigned');
    expect(signers.faultOf(sealRecord(unsigned(sealSigned(turnRecord(later), origin).record)))).toBe('unsigned');
    expect(signersThat({ requiresSignatures: true }, origin).faultOf(of(SINCE_MS - 1))).toBe('unsigned');
    expect(signersThat({ requiresSignatures: true }).faultOf(of(SINCE_MS - 1))).toBe('unsigned');
    await environment.advance(40 * DAY_MS);
    expect(signers.faultOf(of(SINCE_MS - 1))).toBe('unsigned');
  });
});

describe('what a node says of its key', () => {
  it('is believed of the node in the certificate alone, and of an authority of the cluster', async () => {
    const signers = known();
    expect(signers.learn('node-1' as NodeId, hostile.statement)).toBe(false);
    const request = { authority: ours, nodeId: parseNodeId('node-3'), hosts: ['localhost'], days: 9 };
    const { certificate, key } = await issueNode(request, SINCE_MS);
    const own = { certificate: new X509Certificate(certificate), privateKey: createPrivateKey(key), sinceMs: 0 };
    expect(signers.learn('node-1' as NodeId, writeStatement('node-1' as NodeId, own))).toBe(false);
    expect(signers.learn('node-3' as NodeId, writeStatement('node-3' as NodeId, own))).toBe(true);
    const foreign = await signing(theirs, 'node-1');
    expect(signers.learn('node-1' as NodeId, foreign.statement)).toBe(false);
    const otherCluster = readAuthority(await issueAuthority({ cluster: parseClusterName('red'), days: 30 }, SINCE_MS));
    expect(signers.learn('node-1' as NodeId, (await signing(otherCluster, 'node-1')).statement)).toBe(false);
    for (const rubbish of ['', 'AAAA', 'x'.repeat(10_000), hostile.statement.slice(0, -8)])
      expect(signers.learn('node-3' as NodeId, rubbish)).toBe(false);
    expect(signers.learn('node-1' as NodeId, origin.statement)).toBe(true);
  });

  it('counts by its earliest beginning, for a renewed certificate too, and after a restart', async () => {
    const renewed = await signing(ours, 'node-1', SINCE_MS + DAY_MS);
    const signers = known(renewed, origin);
    await replica.note('settled', 'yes');
    for (const each of [signers, known()]) {
      expect(each.faultOf(sealSigned(turnRecord(later), origin))).toBeUndefined();
      expect(each.faultOf(sealSigned(turnRecord(later), renewed))).toBeUndefined();
      expect(each.faultOf(sealedTurn(later))).toBe('unsigned');
    }
  });

  it('is nothing where the key or the certificate are of no use', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { certificate, key } = await issueNode(
      { authority: ours, nodeId: parseNodeId('node-1'), hosts: ['localhost'], days: 9 },
      SINCE_MS,
    );
    const parts = { ...partsOf(), nodeId: 'node-1' as NodeId, certificate: new X509Certificate(certificate) };
    expect(await beginSigning({ ...parts, privateKey }, notes())).toBeUndefined();
    const misnamed = { ...parts, nodeId: 'node-7' as NodeId, privateKey: createPrivateKey(key) };
    expect(await beginSigning(misnamed, notes())).toBeUndefined();
  });
});

describe('on every way in', () => {
  const forged = () => [sealSigned(turnRecord(later), { ...hostile, keyId: origin.keyId }), sealedTurn(later)];

  it('a stream', () => {
    const applier = applierWith(known(origin));
    for (const [index, { bytes }] of forged().entries())
      expect(applier.open({ log: LOG, sequence: index + 1, peer: 'node-3' as NodeId, bytes })).toBeUndefined();
    expect(applier.refusedBy('node-3' as NodeId)).toEqual({ bad_signature: 1, unsigned: 1 });
    expect(environment.logLines.filter(({ event }) => event === 'record_refused')).toHaveLength(2);
    const { bytes } = sealSigned(turnRecord(later), origin);
    expect(applier.open({ log: LOG, sequence: 3, peer: LOG.origin, bytes })).toBeDefined();
  });

  it('back-fill, where the key is asked for with the records', async () => {
    const good = sealSigned(turnRecord({ ...later, key: sessionKey('good') }), origin);
    const applier = applierWith(known());
    const holder = shelf([...forged(), good], [origin.statement]);
    applier.signers?.learn('node-3' as NodeId, hostile.statement);
    await backFill({ log: LOG, holder, after: 0, through: 3, isOrigin: false }, { replica, applier });
    expect((await replica.read(sessionKey('session')))?.records ?? []).toEqual([]);
    expect((await replica.read(sessionKey('good')))?.records.map(({ hash }) => hash)).toEqual([good.hash]);
    expect(applier.refusedBy('node-3' as NodeId)).toEqual({ bad_signature: 1, unsigned: 1 });
  });

  it('back-fill, and what the origin itself does not hand out better is not counted on here', async () => {
    const good = sealSigned(turnRecord({ ...later, key: sessionKey('good') }), origin);
    const applier = applierWith(known(origin));
    const fill = (isOrigin: boolean) =>
      backFill(
        { log: LOG, holder: shelf([good, ...forged(), good], []), after: 0, through: 4, isOrigin },
        { replica, applier },
      );
    await fill(false);
    expect([replica.cursor(LOG).sequence, replica.evictedThrough(LOG)]).toEqual([1, 0]);
    await fill(true);
    expect([replica.cursor(LOG).sequence, replica.evictedThrough(LOG)]).toEqual([4, 3]);
  });

  it('back-fill waits for a key that nobody knows, and goes past no record then', async () => {
    const applier = applierWith(known());
    const first = sealSigned(turnRecord({ ...later, key: sessionKey('first') }), origin);
    let asked = 0;
    const fill = (statements: readonly string[]) => {
      const signers = async () => {
        asked++;
        return statements;
      };
      const holder = { ...shelf([first], []), signers };
      return backFill({ log: LOG, holder, after: 0, through: 1, isOrigin: true }, { replica, applier });
    };
    await expect(fill([])).rejects.toThrow(SignerUnknown);
    expect(replica.cursor(LOG).sequence).toBe(0);
    // What it does not know it is not asked again, until it may.
    await expect(fill([origin.statement])).rejects.toThrow(SignerUnknown);
    expect(asked).toBe(1);
    applier.askForKeysAgain('node-3' as NodeId);
    await fill([hostile.statement, origin.statement]);
    expect(replica.cursor(LOG).sequence).toBe(1);
    expect(await replica.read(sessionKey('first'))).toBeDefined();
    const renewed = await signing(ours, 'node-1');
    const [second, third] = ['second', 'third'].map((name) => turnRecord({ ...later, key: sessionKey(name) }));
    const two = [first, sealSigned(second as TurnRecord, origin), sealSigned(third as TurnRecord, renewed)];
    const request = { log: LOG, holder: shelf(two, []), after: 1, through: 3, isOrigin: true };
    await expect(backFill(request, { replica, applier })).rejects.toThrow(SignerUnknown);
    expect(replica.cursor(LOG).sequence).toBe(2);
  });

  it('a host name that reads like another node’s address', async () => {
    const request = { authority: ours, nodeId: parseNodeId('node-3'), hosts: ['x, email:node-1@blue, y'], days: 9 };
    const { certificate, key } = await issueNode(request, SINCE_MS);
    const [whose, privateKey] = [new X509Certificate(certificate), createPrivateKey(key)];
    const said = { certificate: whose, privateKey, sinceMs: SINCE_MS };
    expect(known().learn('node-3' as NodeId, writeStatement('node-3' as NodeId, said))).toBe(true);
    expect(known().learn(LOG.origin, writeStatement(LOG.origin, said))).toBe(false);
    expect(nodesNamedIn(whose.subjectAltName).map(({ nodeId }) => nodeId)).toEqual(['node-3']);
  });

  it('back-fill asks again for a key where it was not answered', async () => {
    const applier = applierWith(known());
    const record = sealSigned(turnRecord(later), origin);
    const holder = shelf([record], [origin.statement]);
    const silent = { ...holder, signers: () => Promise.reject(new Error('no answer')) };
    const fill = (from: typeof holder) =>
      backFill({ log: LOG, holder: from, after: 0, through: 1, isOrigin: true }, { replica, applier });
    await expect(fill(silent)).rejects.toThrow('no answer');
    await fill(holder);
    expect(replica.cursor(LOG).sequence).toBe(1);
  });

  it('the fetch of a session', async () => {
    const key = sessionKey('session');
    const good = sealSigned(turnRecord({ ...later, variant: 5 }), origin);
    const applier = applierWith(known());
    const fetches = new SessionFetches({
      replica,
      applier,
      holders: () => [shelf([...forged(), good], [origin.statement])],
      ...environment,
    });
    expect(await fetches.fetch(key, { waitMs: 1_000, signal: new AbortController().signal })).toBe(1);
    expect((await replica.read(key))?.records.map(({ hash }) => hash)).toEqual([good.hash]);
    expect(applier.refusedBy('node-3' as NodeId)).toEqual({ bad_signature: 1, unsigned: 1 });
  });
});

it('a copy is signed anew, and one that is there already is known by its own signature', () => {
  const sealed = sealSigned(turnRecord(later), origin);
  expect(unsigned(sealed.record)).toEqual(turnRecord(later));
  expect(signatureOf(sealSigned(sealed.record, hostile).record)?.keyId).toBe(
    Buffer.from(hostile.keyId).toString('hex'),
  );
  expect(sealRecord(signedLike(turnRecord(later), sealed.record)).hash).toBe(sealed.hash);
});

async function authority(): Promise<Authority> {
  return readAuthority(await issueAuthority({ cluster, days: 30 }, SINCE_MS));
}

async function signing(by: Authority, nodeId: string, sinceMs = SINCE_MS, reads?: KeygroupId[]): Promise<Signing> {
  const request = { authority: by, nodeId: parseNodeId(nodeId), hosts: ['localhost'], days: 9, reads };
  const { certificate, key } = await issueNode(request, SINCE_MS);
  const begun = await beginSigning(
    {
      ...partsOf(),
      cluster: by.cluster,
      authorities: [new X509Certificate(by.certificate)],
      nodeId: nodeId as NodeId,
      certificate: new X509Certificate(certificate),
      privateKey: createPrivateKey(key),
    },
    notes({ 'signs-since': String(sinceMs) }),
  );
  return begun as Signing;
}

function partsOf() {
  const { clock, logger } = environment;
  const authorities = [new X509Certificate(ours.certificate)];
  return { cluster, authorities, requiresSignatures: false, recordLifeMs: 30 * DAY_MS, clock, logger };
}

function notes(kept: Record<string, string> = {}): Pick<ReplicaStore, 'note' | 'noted'> {
  return {
    note: async (name, text) => {
      kept[name] = text;
    },
    noted: (name) => kept[name],
  };
}

function signersThat(options: { requiresSignatures: boolean }, ...nodes: readonly Signing[]): KnownSigners {
  const signers = new KnownSigners({ ...partsOf(), ...options, replica });
  for (const { statement } of nodes)
    for (const nodeId of ['node-1', 'node-3']) signers.learn(nodeId as NodeId, statement);
  return signers;
}

const known = (...nodes: readonly Signing[]) => signersThat({ requiresSignatures: false }, ...nodes);

function applierWith(signers: KnownSigners): Applier {
  return new Applier({ replica, logger: environment.logger, signers });
}

/** A member that hands out these as records of the log, and these statements as what it knows of keys. */
function shelf(records: readonly SealedRecord[], statements: readonly string[]): SessionHolder {
  const numbered = records.map(({ hash, bytes }, index) => ({ sequence: index + 1, hash, bytes }));
  return {
    nodeId: 'node-3' as NodeId,
    list: async () => ({ entries: numbered, through: numbered.length }),
    fetch: async (_, sequences) => ({
      covered: sequences.length,
      records: numbered.filter(({ sequence }) => sequences.includes(sequence)),
    }),
    session: async () => ({ entries: numbered.map((entry) => ({ ...entry, log: LOG, turn: 1 })), more: false }),
    signers: async () => statements,
  };
}

/** The other signature that ECDSA has for the same message. */
function otherOf(signature: Uint8Array): Uint8Array {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const half = BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`);
  return Buffer.concat([signature.subarray(0, 32), Buffer.from((order - half).toString(16).padStart(64, '0'), 'hex')]);
}
