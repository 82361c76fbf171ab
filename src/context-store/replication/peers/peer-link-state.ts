import type { NodeAnnouncement } from './peer-protocol.ts';

/**
 * How this node stands with a peer. Each state carries what is known in it, and nothing else.
 *
 *                connectionUp          accepted
 *   unreachable ─────────────▶ silent ─────────▶ connected ◀┐ accepted
 *        ▲                     │ ▲ ▲              │ │   ▲ └──┘
 *        │                     │ │ └──unanswered──┘ │   │
 *        │                     │ └─────unanswered───┼─┐ │ accepted
 *        │                     │                    ▼ │ │
 *        │                     └──────refused────▶ refused
 *        └─── connectionLost, from each of them
 */
export type PeerLinkState = Unreachable | Silent | Connected | Refused;

/** There is no connection to its server. */
export interface Unreachable {
  readonly kind: 'unreachable';
  /** `undefined` before the first try has failed. */
  readonly reason: string | undefined;
  /** The peer as it last described itself, if it was accepted. */
  readonly node: NodeAnnouncement | undefined;
}

/** Its server is there, and it has not answered the last greeting. */
export interface Silent {
  readonly kind: 'silent';
  readonly reason: string;
  /** As above: its server hands out its records while it is silent. */
  readonly node: NodeAnnouncement | undefined;
  /** Whether it has failed to answer on this connection, and not just not been asked yet. */
  readonly wasOutOfReach: boolean;
}

export interface Connected {
  readonly kind: 'connected';
  readonly node: NodeAnnouncement;
}

/** It answers, and must not share records with this node. What it described before is forgotten. */
export interface Refused {
  readonly kind: 'refused';
  readonly reason: string;
}

export const NOT_GREETED = 'not greeted yet';

/** `node`: the peer as it was accepted before this process started. */
export function notConnectedYet(node: NodeAnnouncement | undefined): Unreachable {
  return { kind: 'unreachable', reason: undefined, node };
}

/** What a connection carries is asked for anew on the next, so what was missed on the last one does not count. */
export function connectionUp(state: PeerLinkState): Silent {
  return { kind: 'silent', reason: NOT_GREETED, node: nodeOf(state), wasOutOfReach: false };
}

export function connectionLost(state: PeerLinkState, reason: string): Unreachable {
  return { kind: 'unreachable', reason, node: nodeOf(state) };
}

export function unanswered(state: PeerLinkState, reason: string): Silent {
  return { kind: 'silent', reason, node: nodeOf(state), wasOutOfReach: true };
}

export function accepted(node: NodeAnnouncement): Connected {
  return { kind: 'connected', node };
}

export function refused(reason: string): Refused {
  return { kind: 'refused', reason };
}

export function nodeOf(state: PeerLinkState): NodeAnnouncement | undefined {
  return state.kind === 'refused' ? undefined : state.node;
}

export function reasonOf(state: PeerLinkState): string | undefined {
  return state.kind === 'connected' ? undefined : state.reason;
}

/** Whether anybody outside has to hear of the step from one to the other. */
export function looksTheSame(a: PeerLinkState, b: PeerLinkState): boolean {
  return a.kind === b.kind && reasonOf(a) === reasonOf(b);
}

/** Whether a stream that is announced calls for a greeting: of a peer that is not connected, or was started anew. */
export function isNewStart(state: PeerLinkState, instance: string): boolean {
  return state.kind !== 'connected' || state.node.instance !== instance;
}

/** Whether a beacon calls for a greeting: the peer is back, or with another disk. One that is refused is left alone. */
export function isBack(state: PeerLinkState, incarnation: string): boolean {
  if (state.kind === 'silent') return true;
  return state.kind === 'connected' && state.node.incarnation !== incarnation;
}
