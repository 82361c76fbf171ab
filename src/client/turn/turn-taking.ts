import { DiscedgeClientError } from '../errors.ts';
import type { NodeRing } from '../nodes/node-ring.ts';
import { withRetries } from '../retry.ts';
import { askAll, type SessionAtNodes } from '../session-at-nodes.ts';
import type { LostTurns, SendOptions, SessionOptions } from '../session-options.ts';
import type { SessionPlace } from '../session-place.ts';
import type { Transport } from '../transport.ts';
import type { RememberedTurns } from './remembered-turns.ts';
import type { Reply } from './reply.ts';
import type { ReplyWriter } from './reply-stream.ts';
import { sendTurn, type TurnBody } from './send-turn.ts';
import { isSameTurn, turnAgain, turnRequest } from './turn-request.ts';
import { UnsettledTurn } from './unsettled-turn.ts';

export interface TurnTakingParts {
  readonly transport: Transport;
  readonly ring: NodeRing;
  readonly atNodes: SessionAtNodes;
  readonly sessionId: string;
  readonly userId: string | undefined;
  readonly model: () => string | undefined;
  readonly options: SessionOptions;
  readonly place: SessionPlace;
  readonly remembered: RememberedTurns;
}

/**
 * Takes the turns of one session, one at a time. A turn is sent again under the same number until a node has acknowledged it,
 * so that it takes effect once however often the network fails; before another message takes its number, it is found out
 * what became of it.
 */
export class TurnTaking {
  readonly #parts: TurnTakingParts;
  #underWay = false;
  /** The turn under way, or the last one when it is not known whether a node stored it. */
  #unsettled: UnsettledTurn | undefined;
  #cancelling: Promise<void> | undefined;

  constructor(parts: TurnTakingParts, unsettled: UnsettledTurn | undefined) {
    this.#parts = parts;
    this.#unsettled = unsettled;
  }

  /** See `#unsettled`. */
  get unsettled(): UnsettledTurn | undefined {
    return this.#unsettled;
  }

  /** Throws DiscedgeClientError, or the signal's reason. */
  async take(text: string, options: SendOptions, writer: ReplyWriter | undefined): Promise<Reply> {
    const { place, remembered } = this.#parts;
    if (this.#underWay) {
      const message = `turn ${place.turn + 1} of this session is still under way`;
      throw new DiscedgeClientError(message, { code: 'session_in_use' });
    }
    this.#underWay = true;
    const { signal } = options;
    try {
      signal?.throwIfAborted();
      await this.#settle(text, options);
      const asked = this.#bodyOf(text, options);
      // The same turn, sent again, may still run where it was sent before.
      const turn = this.#unsettled ?? new UnsettledTurn(asked);
      this.#unsettled = turn;
      const body = turnAgain(turn.body, asked);
      const reply = await this.#sendRepairing(turn, body, { signal, writer });
      place.acknowledged(reply);
      const { system } = body as { readonly system?: string };
      if (this.#parts.options.repair !== undefined) remembered.answered(reply, { prompt: text, system });
      this.#unsettled = undefined;
      return reply;
    } catch (error) {
      this.#forgetSettled();
      if (signal?.aborted && this.#unsettled !== undefined) this.#cancelling = this.#cancelUnsettled();
      throw error;
    } finally {
      this.#underWay = false;
    }
  }

  /** See `Session.cancel`. */
  async cancel(): Promise<boolean> {
    const { atNodes, ring } = this.#parts;
    const turn = this.#unsettled;
    const nodes = turn === undefined || turn.nodes.length === 0 ? [ring.current] : turn.nodes;
    const stopped = await askAll(nodes, async (node) => {
      const cancelled = await (turn === undefined ? atNodes.cancel(node) : atNodes.stop(node, turn));
      if (cancelled) turn?.cancelledAt(node);
      return cancelled;
    });
    return stopped.includes(true);
  }

  /** Should the turns before be lost, hands them over, where that is wanted. */
  async #sendRepairing(
    turn: UnsettledTurn,
    body: TurnBody,
    attempt: { readonly signal: AbortSignal | undefined; readonly writer: ReplyWriter | undefined },
  ): Promise<Reply> {
    const { place, remembered, ring } = this.#parts;
    const lacking = new Set<string>();
    try {
      return await this.#send(turn, body, attempt, lacking);
    } catch (error) {
      const [node] = lacking;
      const repair = remembered.upTo(place.turn, place.contextId);
      if (node === undefined || repair.length === 0 || !(error instanceof DiscedgeClientError) || !error.retry)
        throw error;
      const lost = { turns: repair.length, node, error };
      if (!(await this.#mayRepair(lost))) throw error;
      attempt.signal?.throwIfAborted();
      if (!lacking.has(ring.current)) ring.moveTo(node);
      return this.#send(turn, { ...body, repair }, attempt, lacking);
    }
  }

  async #mayRepair(lost: LostTurns): Promise<boolean> {
    const { repair } = this.#parts.options;
    return repair === 'auto' || (typeof repair === 'function' && (await repair(lost)));
  }

  /** `lacking` gets the nodes that say that they lack the turns before. */
  #send(
    turn: UnsettledTurn,
    body: TurnBody,
    { signal, writer }: { readonly signal: AbortSignal | undefined; readonly writer: ReplyWriter | undefined },
    lacking: Set<string>,
  ): Promise<Reply> {
    const { transport, ring } = this.#parts;
    return withRetries(ring, transport.policy, signal, async (node) => {
      turn.sentTo(node);
      try {
        return await sendTurn(transport, node, body, { signal, writer });
      } catch (error) {
        turn.failedAt(node, error);
        if (error instanceof DiscedgeClientError && error.code === 'context_stale') lacking.add(node);
        throw error;
      }
    });
  }

  async #cancelUnsettled(): Promise<void> {
    try {
      await this.cancel();
      this.#forgetSettled();
    } catch {
      // The next turn finds out.
    }
  }

  #forgetSettled(): void {
    if (this.#unsettled?.nodes.length === 0) this.#unsettled = undefined;
  }

  #bodyOf(text: string, options: SendOptions): TurnBody {
    const { place, sessionId, userId, model } = this.#parts;
    const { mode, system, turnOptions } = this.#parts.options;
    const address = {
      ...{ sessionId, userId, mode, model: model() },
      turn: place.turn + 1,
      contextId: place.contextId,
      system: place.turn === 0 ? system : undefined,
    };
    const { signal: _, ...own } = options;
    return turnRequest(text, address, { ...turnOptions, ...own });
  }

  /**
   * Finds out about a turn that may or may not have been stored, before another message takes its number. The same
   * message needs no finding out: the node replays it.
   */
  async #settle(text: string, options: SendOptions): Promise<void> {
    if (this.#unsettled === undefined) return;
    await this.#cancelling;
    this.#cancelling = undefined;
    if (this.#unsettled === undefined) return;
    if (isSameTurn(this.#bodyOf(text, options), this.#unsettled.body)) return;
    const { atNodes, ring, place, remembered } = this.#parts;
    const turn = this.#unsettled;
    // The current node too: the turn may have come to it from one that is gone.
    const lines = await askAll([...new Set([...turn.nodes, ring.current])], (node) => atNodes.lineWithout(node, turn));
    // The longest line that goes on from what was acknowledged; a node that knows less changes nothing.
    for (const line of lines) {
      if (place.goForward(line) && line.length > 0 && this.#parts.options.repair !== undefined) remembered.read(line);
    }
    this.#unsettled = undefined;
  }
}
