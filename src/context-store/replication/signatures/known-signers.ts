import type { X509Certificate } from 'node:crypto';
import type { ClusterName, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { signatureOf } from '../../../domain/record/record-signature.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { RecordRefusal } from '../../replication-status.ts';
import { type LimitedNode, mayRead, mayWrite } from '../peers/reading-rights.ts';
import { isSignedWith } from './node-key.ts';
import { KEYS_MAX, readStatement, type SignerStatement } from './signer-statement.ts';

/** Name of the note that holds them. */
const SIGNERS = 'signers';
/** Nodes that are remembered, of those that have been: records outlive their node. */
export const SIGNERS_MAX = 1_000;

/** Of which the log has told: whoever may speak may name any. */
const DISPROVED_MAX = 64;

export interface KnownSignersParts {
  readonly cluster: ClusterName;
  readonly authorities: readonly X509Certificate[];
  /** Whether records that are not signed are refused, whoever wrote them. */
  readonly requiresSignatures: boolean;
  /** The longest life of a record: so long after a node has begun to sign, none that it did not sign can be its own. */
  readonly recordLifeMs: number;
  readonly replica: Pick<ReplicaStore, 'note' | 'noted'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is known of one node's keys, by what they are called in records. */
type KnownKeys = Map<string, SignerStatement & { readonly text: string }>;

/** The record is signed with a key of which nothing is known here: whoever has the record may have the node's statement. */
export class SignerUnknown extends Error {
  override readonly name = 'SignerUnknown';
}

/** Whose key is which, as certificates of the cluster's authority say, and whether a record is of the node that it names. */
export class KnownSigners {
  readonly #parts: KnownSignersParts;
  readonly #signers = new Map<NodeId, KnownKeys>();
  readonly #disproved = new Set<NodeId>();

  constructor(parts: KnownSignersParts) {
    this.#parts = parts;
    for (const [nodeId, statements] of readNote(parts.replica.noted(SIGNERS)))
      for (const statement of statements) this.#add(nodeId, statement);
  }

  /** Takes in what is said of a node's key, whoever says it; returns whether it is proved. Kept from one start to the next. */
  learn(nodeId: NodeId, statement: string | undefined): boolean {
    if (statement === undefined) return false;
    if (this.statementsOf(nodeId).includes(statement)) return true;
    const outcome = this.#add(nodeId, statement);
    if (outcome === 'refused') this.#tellOfDisproved(nodeId);
    if (outcome === 'added') this.#keep();
    return outcome !== 'refused';
  }

  /** Whether a certificate of the cluster's authority names the node. */
  isProved(nodeId: NodeId): boolean {
    return this.#signers.has(nodeId);
  }

  /** Whether the node is one, as far as is asked here: of builds that do not sign nothing proves it. */
  mayTakePart(nodeId: NodeId): boolean {
    return !this.#parts.requiresSignatures || this.isProved(nodeId);
  }

  /** Whether a node may have a part in these keygroups: in those that any certificate of its lists, where each of them lists some. */
  mayServe(nodeId: NodeId, keygroups: readonly KeygroupId[]): boolean {
    const certificates = this.#statementsOf(nodeId);
    if (certificates.length === 0 || certificates.some(({ reads }) => reads === undefined)) return true;
    return keygroups.every((keygroup) => certificates.some(({ reads = [] }) => mayRead(reads, keygroup)));
  }

  /** What certificates of the node that list what it may read give it, each by itself. */
  limitsOf(nodeId: NodeId): LimitedNode[] {
    return this.#statementsOf(nodeId).flatMap(({ reads }) => (reads === undefined ? [] : [{ nodeId, reads }]));
  }

  /** What proves the keys of a node, for others. */
  statementsOf(nodeId: NodeId): string[] {
    return this.#statementsOf(nodeId).map(({ text }) => text);
  }

  /** Why a record is not of the node that it names; `undefined` when it is. Throws {@link SignerUnknown}. */
  faultOf({ record }: SealedRecord): RecordRefusal | undefined {
    const signed = signatureOf(record);
    if (signed === undefined) return this.#mayBeUnsigned(record) ? undefined : 'unsigned';
    const statement = this.#signers.get(record.origin)?.get(signed.keyId);
    if (statement === undefined) throw new SignerUnknown(`nothing is known of a key of ${record.origin}`);
    if (!isSignedWith(statement.key, signed.message, signed.signature)) return 'bad_signature';
    return statement.reads === undefined || mayWrite(statement.reads, record) ? undefined : 'not_listed';
  }

  /** Those of builds that do not sign are taken, until their node does: a cluster is upgraded node by node. */
  #mayBeUnsigned({ origin, writtenAtMs }: SealedRecord['record']): boolean {
    const { requiresSignatures, recordLifeMs, clock } = this.#parts;
    if (requiresSignatures) return false;
    const sinceMs = Math.min(...this.#statementsOf(origin).map((statement) => statement.sinceMs));
    return writtenAtMs < sinceMs && clock.now() < sinceMs + recordLifeMs;
  }

  #statementsOf(nodeId: NodeId) {
    return [...(this.#signers.get(nodeId)?.values() ?? [])];
  }

  #keep(): void {
    const { replica, logger } = this.#parts;
    const text = JSON.stringify([...this.#signers.keys()].map((nodeId) => [nodeId, this.statementsOf(nodeId)]));
    replica.note(SIGNERS, text).catch((error) => logger.warn('signers_not_kept', {}, error));
  }

  #tellOfDisproved(nodeId: NodeId): void {
    if (this.#disproved.has(nodeId) || this.#disproved.size >= DISPROVED_MAX) return;
    this.#disproved.add(nodeId);
    this.#parts.logger.warn('signer_not_proved', { peer: nodeId });
  }

  #add(nodeId: NodeId, text: string): 'added' | 'known' | 'refused' {
    const { cluster, authorities } = this.#parts;
    const said = readStatement(text, { nodeId, cluster, authorities });
    if (said === undefined) return 'refused';
    const keys: KnownKeys = this.#signers.get(nodeId) ?? new Map();
    if (keys.size === 0 && this.#signers.size >= SIGNERS_MAX) return 'refused';
    const before = keys.get(said.keyId);
    if (before !== undefined && before.sinceMs <= said.sinceMs) return 'known';
    const [oldest] = keys.keys();
    if (before === undefined && keys.size >= KEYS_MAX && oldest !== undefined) keys.delete(oldest);
    keys.set(said.keyId, { ...said, text });
    this.#signers.set(nodeId, keys);
    return 'added';
  }
}

function readNote(text: string | undefined): [NodeId, string[]][] {
  try {
    return JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
}
