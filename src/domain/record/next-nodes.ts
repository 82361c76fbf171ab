import { ByteReader, ByteWriter } from '../bytes.ts';
import { isNodeId } from '../identifiers.ts';
import type { Extensions } from './extensions.ts';
import type { SessionRecord } from './turn-record.ts';

/** Nodes where a client expects to be for its next turn, as it said with this one. */
const NEXT_NODES = 'discedge.next-nodes';
/** More of them would say too little: each node would have a chance below one in four. */
export const NEXT_NODES_MAX = 4;
export const NODE_ID_CHARS_MAX = 32;

/** As a record carries them; none where there are none. What is no node id is left out: it names no node. */
export function nextNodesExtension(named: readonly string[]): Extensions | undefined {
  const nodes = [...new Set(named)].filter(isNodeId).slice(0, NEXT_NODES_MAX);
  if (nodes.length === 0) return undefined;
  const writer = new ByteWriter();
  writer.varint(nodes.length);
  for (const node of nodes) writer.text(node);
  return new Map([[NEXT_NODES, Uint8Array.from(writer.view())]]);
}

/** Node ids, known here or not; none where a record names none, or what it says is malformed. */
export function nextNodesOf({ extensions }: Pick<SessionRecord, 'extensions'>): readonly string[] {
  const bytes = extensions?.get(NEXT_NODES);
  if (bytes === undefined) return [];
  try {
    const reader = new ByteReader(bytes);
    const count = reader.varint(NEXT_NODES_MAX);
    return Array.from({ length: count }, () => reader.text(NODE_ID_CHARS_MAX)).filter(isNodeId);
  } catch {
    return [];
  }
}
