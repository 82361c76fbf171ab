import { createHash } from 'node:crypto';
import type { ClusterName, Incarnation, KeygroupId, NodeId } from '../../domain/identifiers.ts';
import type { OriginLog } from '../leveldb/log/origin-log.ts';

/*
 * Names of what this store keeps in FReD: letters and digits, all that FReD takes. Ids are of fixed width, because FReD orders
 * "s1" before "s".
 */

/** Whoever takes part writes an item of its own here. It begins with {@link MEMBERS_ROOT}. */
export function membersKeygroup(cluster: ClusterName): string {
  return `dcem${digest(cluster)}`;
}

/** Where a scan of the members begins; the same at all nodes, whoever wrote it. */
export const MEMBERS_ROOT = '0';
export const MEMBERS_ROOT_VALUE = '1';

/** The records of one model identity. */
export function recordsKeygroup(cluster: ClusterName, keygroup: KeygroupId): string {
  return `dcer${keygroup}${digest(cluster)}`;
}

/** What is said to one node; held by its own FReD node and no other. */
export function boxKeygroup(cluster: ClusterName, { nodeId, fredHost }: { nodeId: NodeId; fredHost: string }): string {
  return `dceb${digest(`${cluster} ${nodeId} ${fredHost}`)}`;
}

/** Whether a node says what could be a box of its own. */
export function isBox(name: string): boolean {
  return /^dceb[0-9a-f]{16}$/.test(name);
}

/** An item that only one start of one node writes, once: the node's code, the start's, and a number. */
export interface ItemId {
  /** Two digits; several nodes may share one. */
  readonly nodeCode: string;
  /** Eight digits: the incarnation of a log, or chance for one start. */
  readonly start: string;
  readonly number: number;
}

const NUMBER_DIGITS = 10;
const ITEM_ID = /^([0-9a-z]{2})([0-9a-f]{8})([0-9a-z]{10})$/;

export function itemId({ nodeCode, start, number }: ItemId): string {
  return `${nodeCode}${start}${number.toString(36).padStart(NUMBER_DIGITS, '0')}`;
}

/** `undefined` for an id of another form. */
export function parseItemId(id: string): ItemId | undefined {
  const [, nodeCode, start, digits] = ITEM_ID.exec(id) ?? [];
  if (nodeCode === undefined || start === undefined || digits === undefined) return undefined;
  return { nodeCode, start, number: Number.parseInt(digits, 36) };
}

/** Of a record; of 0, the log's anchor, which is always there for a scan to begin with. */
export function recordId({ origin, incarnation }: OriginLog, sequence: number): string {
  return itemId({ nodeCode: nodeCode(origin), start: incarnation, number: sequence });
}

/** Whether the item is of this log, as far as its id says. */
export function isOfLog({ nodeCode: code, start }: ItemId, { origin, incarnation }: OriginLog): boolean {
  return start === incarnation && code === nodeCode(origin);
}

export function nodeCode(nodeId: NodeId): string {
  return (Number.parseInt(digest(nodeId).slice(0, 8), 16) % 36 ** 2).toString(36).padStart(2, '0');
}

/** Eight digits of a start. */
export function startCode(random: Uint8Array): Incarnation {
  return Buffer.from(random.subarray(0, 4)).toString('hex') as Incarnation;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
