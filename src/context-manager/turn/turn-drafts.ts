import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKey, sessionKeyText } from '../../domain/identifiers.ts';
import { SummaryNeeded } from '../modes/context-overflow.ts';
import type { NodeResources } from '../node-resources.ts';
import type { Summaries } from '../summaries/summaries.ts';
import type { AddRequest } from './added-items.ts';
import type { Answering } from './answering.ts';
import { OWN_REQUEST } from './own-request.ts';
import { evaluatedTurn } from './reply/turn-reply.ts';
import { claimOf } from './request-digest.ts';
import type { RunningTurn } from './running-turn.ts';
import { ownerOf, sharerOf, type TurnOwner } from './running-turns.ts';
import type { DraftedTurn, EvaluatedTurn, TurnObserver, TurnRequest } from './turn.ts';
import type { OpenPass, TurnGate } from './turn-gate.ts';

export interface TurnDraftsParts {
  readonly node: NodeResources;
  readonly gate: TurnGate;
  readonly answering: Answering;
  readonly summaries: Summaries;
}

/** A turn that nobody has asked for yet. */
const AS_WELL_AS_IT_CAN = { overflow: 'drop-oldest', maxTokens: undefined } as const;

/** Turns that are not taken: their places stay free, and nothing is stored. */
export class TurnDrafts {
  readonly #parts: TurnDraftsParts;

  constructor(parts: TurnDraftsParts) {
    this.#parts = parts;
  }

  /**
   * The reply that the turn would have. Where it would open a session, and is answered, nobody comes back for what was evaluated: it goes
   * at once. Throws as `takeTurn` does.
   */
  draft(key: SessionKey, request: TurnRequest, observer: TurnObserver): Promise<DraftedTurn> {
    return this.#answer(key, request, observer, () => request);
  }

  /**
   * Evaluates what the turn would have the model read first: its prompt, or that of the summary that it would wait for, which is not made.
   * Throws as `takeTurn` does.
   */
  evaluate(key: SessionKey, request: TurnRequest, observer: TurnObserver): Promise<EvaluatedTurn> {
    return this.#answer(key, { ...request, maxTokens: 0 }, observer, (pass) => asItComes(request, pass));
  }

  /** How many ids its prompt would have; nothing is evaluated. Throws as `takeTurn` does. */
  count(key: SessionKey, request: TurnRequest, asking: Pick<TurnOwner, 'gone' | 'account'>): Promise<number> {
    return this.#inLine(key, sharerOf(asking, key.userId), async (turn) => {
      return this.#promptTokens(request, await this.#pass(key, request, turn));
    });
  }

  /**
   * Throws `context_overflow` for what would not fit once it is kept, and would have every later turn refused. What a template says of
   * it is the next turn's.
   */
  async requireRoom(request: AddRequest, pass: OpenPass): Promise<void> {
    const { readBy = AS_WELL_AS_IT_CAN, ...added } = request;
    const reading: TurnRequest = { ...OWN_REQUEST, ...readBy, ...added, place: { tip: 'new' } };
    try {
      await this.#promptTokens(reading, pass);
    } catch (error) {
      if (error instanceof DiscedgeError && error.code === 'context_overflow' && !(error instanceof SummaryNeeded))
        throw error;
    }
  }

  /** The reply to a turn, with a prompt as that of `asIf`. */
  #answer(
    key: SessionKey,
    request: TurnRequest,
    observer: TurnObserver,
    asIf: (pass: OpenPass) => TurnRequest,
  ): Promise<DraftedTurn> {
    const { node, answering, summaries } = this.#parts;
    return this.#inLine(key, ownerOf(observer, key.userId), async (turn) => {
      const wasInDoubt = node.records.isInDoubt(key);
      const pass = await this.#pass(key, request, turn);
      node.records.requireKnown(key, { wasInDoubt });
      const { mode, prompt } = await summaries.first(asIf(pass), pass);
      const isOver = pass.base === undefined && request.maxTokens !== 0;
      const generated = await answering.generate(prompt, key, request, observer, turn).finally(() => {
        if (isOver) node.states?.forget(key);
      });
      prompt.evaluated();
      const drafted = evaluatedTurn(key, { mode, prompt, hasWaited: false }, generated, pass);
      return { ...drafted, reasoningTokens: await answering.reasoningTokens(generated) };
    });
  }

  async #promptTokens(request: TurnRequest, pass: OpenPass): Promise<number> {
    const { prompt } = await this.#parts.answering.build(request, pass);
    const { length } = prompt.ids;
    prompt.evaluated();
    return length;
  }

  async #pass(key: SessionKey, request: TurnRequest, turn: RunningTurn): Promise<OpenPass> {
    const pass = await this.#parts.gate.pass(key, claimOf(request), turn.waiting);
    if (pass.answered !== undefined) throw new TypeError('a turn that was answered is no draft');
    return pass;
  }

  #inLine<T>(key: SessionKey, owner: TurnOwner, work: (turn: RunningTurn) => Promise<T>): Promise<T> {
    const { node } = this.#parts;
    const keyText = sessionKeyText(key);
    return node.running.run(keyText, owner, (turn) => node.queue.run(keyText, turn.stopping, () => work(turn)));
  }
}

/**
 * The turn that is evaluated ahead, as it will be asked for. What is left out of its prompt hangs on the room for its reply, of which a
 * request for no reply does not tell: then it is as much as the turn before was allowed.
 */
function asItComes(request: TurnRequest, { session, base }: OpenPass): TurnRequest {
  const answered = session.history.lastAnswered(base);
  // Nothing is left out then, and it fits if there is room for any reply.
  if (answered === undefined || request.overflow === 'error') return { ...request, maxTokens: 0 };
  return request.maxTokens === 0 ? { ...request, maxTokens: answered.record.sampling.maxTokens } : request;
}
