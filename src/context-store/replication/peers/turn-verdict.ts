import { ByteReader, ByteWriter, pick } from '../../../domain/bytes.ts';
import type { KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { TurnVerdict } from '../../turn-arbitration.ts';
import { decodeSessionPage, encodeSessionPage, type SessionPage } from './session-page.ts';

/** A verdict as it travels, with what the arbiter holds of a turn that is answered. */
export interface CarriedVerdict {
  readonly verdict: TurnVerdict;
  readonly page: SessionPage;
}

const KINDS = ['go', 'go_unsure', 'running', 'answered'] as const;
const NODE_ID_BYTES_MAX = 32;
export const NOTHING_HELD: SessionPage = { entries: [], more: false };

export function encodeVerdict({ verdict, page }: CarriedVerdict): Uint8Array {
  const writer = new ByteWriter(64);
  const kind = verdict.kind === 'go' && !verdict.isSure ? 'go_unsure' : verdict.kind;
  writer.byte(KINDS.indexOf(kind));
  writer.text(nodeOf(verdict) ?? '');
  writer.raw(encodeSessionPage(page));
  return writer.view();
}

/** Throws MalformedBytes. */
export function decodeVerdict(data: Uint8Array, keygroup: KeygroupId): CarriedVerdict {
  const reader = new ByteReader(data);
  const kind = pick(KINDS, reader.byte(), 'verdict');
  const node = reader.text(NODE_ID_BYTES_MAX) as NodeId;
  const page = decodeSessionPage(reader.raw(reader.remaining), keygroup);
  switch (kind) {
    case 'running':
      return { verdict: { kind, at: node }, page };
    case 'answered':
      return { verdict: { kind }, page };
    default:
      return { verdict: { kind: 'go', isSure: kind === 'go', ...(node !== '' && { lapsed: node }) }, page };
  }
}

function nodeOf(verdict: TurnVerdict): NodeId | undefined {
  if (verdict.kind === 'running') return verdict.at;
  return verdict.kind === 'go' ? verdict.lapsed : undefined;
}
