import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ID_BYTES_MAX, isId, isNodeId, type NodeId, type UserId } from '../../domain/identifiers.ts';

/** Who has erased everything of a user, and who has not said so yet. */
export interface ErasureReceipt {
  readonly receiptId: string;
  readonly userId: UserId;
  readonly erasedAtMs: number;
  readonly nodes: readonly ErasureAtNode[];
}

export interface ErasureAtNode {
  readonly nodeId: NodeId;
  /** Since when the node neither has nor takes in anything of what was erased, in any file of its; `undefined`: awaited. */
  readonly confirmed: { readonly atMs: number; readonly sessions: number } | undefined;
  /** What the node has said that it waits for itself, while it is awaited. */
  readonly reason?: AwaitedReason;
}

/**
 * Why a node that has heard of an erasure does not confirm it yet. `kv_state`: it does not know whether its inference engines still
 * have KV state of the user's sessions.
 */
export const AWAITED_REASONS = ['kv_state'] as const;
export type AwaitedReason = (typeof AWAITED_REASONS)[number];

/** As many as a cluster has nodes. */
const NODES_MAX = 64;

const time = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const node = Type.String({ maxLength: 32 });
const Opening = Type.Object({
  user: Type.String({ maxLength: ID_BYTES_MAX }),
  erasedAt: time,
  nodes: Type.Array(node, { maxItems: NODES_MAX }),
});
const reason = Type.Unsafe<AwaitedReason>({ type: 'string', enum: [...AWAITED_REASONS] });
const Confirmation = Type.Object({ node, at: time, sessions: time });
/** No confirmation: earlier builds pass it over. */
const Delay = Type.Object({ node, at: time, waitsFor: reason });

export function openingBytes({ userId, erasedAtMs, nodes }: ErasureReceipt): Uint8Array {
  const opening: Static<typeof Opening> = {
    user: userId,
    erasedAt: erasedAtMs,
    nodes: nodes.map(({ nodeId }) => nodeId),
  };
  return Buffer.from(JSON.stringify(opening));
}

export function confirmationBytes(confirmation: Static<typeof Confirmation>): Uint8Array {
  return Buffer.from(JSON.stringify(confirmation));
}

export function delayBytes(delay: Static<typeof Delay>): Uint8Array {
  return Buffer.from(JSON.stringify(delay));
}

/** What the versions of a receipt say together, in whatever order they came; `undefined` before its opening has come. */
export function receiptOf(receiptId: string, versions: readonly Uint8Array[]): ErasureReceipt | undefined {
  const said = versions.flatMap((version) => readVersion(version) ?? []);
  const opening = said.find((version) => Value.Check(Opening, version));
  if (opening === undefined || !isId(opening.user)) return undefined;
  const nodes = new Map<string, ErasureAtNode['confirmed']>(opening.nodes.map((nodeId) => [nodeId, undefined]));
  for (const { node, at, sessions } of said.filter((version) => Value.Check(Confirmation, version))) {
    const before = nodes.get(node);
    // A node that was started again before it had said so says so twice.
    if (before === undefined || at < before.atMs) nodes.set(node, { atMs: at, sessions });
  }
  const delays = new Map(
    said.flatMap((version) => (Value.Check(Delay, version) ? [[version.node, version.waitsFor] as const] : [])),
  );
  const atNodes = [...nodes].flatMap(([nodeId, confirmed]): ErasureAtNode[] => {
    if (!isNodeId(nodeId)) return [];
    const reason = confirmed === undefined ? delays.get(nodeId) : undefined;
    return [{ nodeId: nodeId as NodeId, confirmed, ...(reason !== undefined && { reason }) }];
  });
  return { receiptId, userId: opening.user as UserId, erasedAtMs: opening.erasedAt, nodes: atNodes };
}

/** Whether the node has confirmed; known also before the opening has come. */
export function isConfirmedBy(nodeId: NodeId, versions: readonly Uint8Array[]): boolean {
  return versions.some((version) => {
    const said = readVersion(version);
    return Value.Check(Confirmation, said) && said.node === nodeId;
  });
}

/** `undefined` where it is no JSON: members of a cluster may be of other versions, or broken. */
function readVersion(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}
