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

interface KnownSigner {
  /** The earliest that it has said. */
  sinceMs: number;
  readonly keys: Map<string, SignerStatement & { readonly text: string }>;
}

/** The record is signed with a key of which nothing is known here: whoever has the record may have the node's statement. */
export class SignerUnknown extends Error {
  override readonly name = 'SignerUnknown';
}

/** Whose key is which, as certificates of the cluster's authority say, and whether a record is of the node that it names. */
export class KnownSigners {
  readonly #parts: KnownSignersParts;
  readonly #signers = new Map<NodeId, KnownSigner>();
  readonly #disproved = new Set<NodeId>();
  #remembered = '';

  constructor(parts: KnownSignersParts) {
    this.#parts = parts;
    for (const [nodeId, statements] of readNote(parts.replica.noted(SIGNERS)))
      for (const statement of statements) this.#add(nodeId, statement);
  }

  /** Takes in what is said of a node's key, whoever says it; returns whether it is proved. Kept from one start to the next. */
  learn(nodeId: NodeId, statement: string | undefined): boolean {
    if (statement === undefined) return false;
    if (this.statementsOf(nodeId).includes(statement)) return true;
    if (!this.#add(nodeId, statement)) {
      this.#tellOfDisproved(nodeId);
      return false;
    }
    const { replica, logger } = this.#parts;
    const text = JSON.stringify([...this.#signers.keys()].map((id) => [id, this.statementsOf(id)]));
    if (text === this.#remembered) return true;
    this.#remembered = text;
    replica.note(SIGNERS, text).catch((error) => logger.warn('signers_not_kept', {}, error));
    return true;
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
    const certificates = [...(this.#signers.get(nodeId)?.keys.values() ?? [])];
    if (certificates.length === 0 || certificates.some(({ reads }) => reads === undefined)) return true;
    return keygroups.every((keygroup) => certificates.some(({ reads = [] }) => mayRead(reads, keygroup)));
  }

  /** What certificates of the node that list what it may read give it, each by itself. */
  limitsOf(nodeId: NodeId): LimitedNode[] {
    const certificates = [...(this.#signers.get(nodeId)?.keys.values() ?? [])];
    return certificates.flatMap(({ reads }) => (reads === undefined ? [] : [{ nodeId, reads }]));
  }

  /** What proves the keys of a node, for others. */
  statementsOf(nodeId: NodeId): string[] {
    return [...(this.#signers.get(nodeId)?.keys.values() ?? [])].map(({ text }) => text);
  }

  /** Why a record is not of the node that it names; `undefined` when it is. Throws {@link SignerUnknown}. */
  faultOf({ record }: SealedRecord): RecordRefusal | undefined {
    const signer = this.#signers.get(record.origin);
    const signed = signatureOf(record);
    if (signed === undefined) return this.#mayBeUnsigned(record, signer) ? undefined : 'unsigned';
    const statement = signer?.keys.get(signed.keyId);
    if (statement === undefined) throw new SignerUnknown(`nothing is known of a key of ${record.origin}`);
    if (!isSignedWith(statement.key, signed.message, signed.signature)) return 'bad_signature';
    return statement.reads === undefined || mayWrite(statement.reads, record) ? undefined : 'not_listed';
  }

  /** Those of builds that do not sign are taken, until their node does: a cluster is upgraded node by node. */
  #mayBeUnsigned({ writtenAtMs }: SealedRecord['record'], signer: KnownSigner | undefined): boolean {
    const { requiresSignatures, recordLifeMs, clock } = this.#parts;
    if (requiresSignatures) return false;
    if (signer === undefined) return true;
    return writtenAtMs < signer.sinceMs && clock.now() < signer.sinceMs + recordLifeMs;
  }

  #tellOfDisproved(nodeId: NodeId): void {
    if (this.#disproved.has(nodeId) || this.#disproved.size >= DISPROVED_MAX) return;
    this.#disproved.add(nodeId);
    this.#parts.logger.warn('signer_not_proved', { peer: nodeId });
  }

  #add(nodeId: NodeId, text: string): boolean {
    const { cluster, authorities } = this.#parts;
    const said = readStatement(text, { nodeId, cluster, authorities });
    if (said === undefined) return false;
    const signer = this.#signers.get(nodeId) ?? { sinceMs: said.sinceMs, keys: new Map() };
    if (!this.#signers.has(nodeId) && this.#signers.size >= SIGNERS_MAX) return false;
    this.#signers.set(nodeId, signer);
    signer.sinceMs = Math.min(signer.sinceMs, said.sinceMs);
    const before = signer.keys.get(said.keyId);
    if (before !== undefined && before.sinceMs <= said.sinceMs) return true;
    const [oldest] = signer.keys.keys();
    if (before === undefined && signer.keys.size >= KEYS_MAX && oldest !== undefined) signer.keys.delete(oldest);
    signer.keys.set(said.keyId, { ...said, text });
    return true;
  }
}

function readNote(text: string | undefined): [NodeId, string[]][] {
  try {
    return JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
}
