import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKey, sessionKeyText } from '../../domain/identifiers.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { NodeResources } from '../node-resources.ts';
import type { Summaries } from '../summaries/summaries.ts';
import type { AddRequest } from './added-items.ts';
import type { Answering } from './answering.ts';
import { OWN_REQUEST } from './own-request.ts';
import { evaluatedTurn } from './reply/turn-reply.ts';
import { claimOf } from './request-digest.ts';
import type { RunningTurn } from './running-turn.ts';
import { ownerOf, sharerOf, type TurnOwner } from './running-turns.ts';
import type { DraftedTurn, TurnObserver, TurnRequest } from './turn.ts';
import type { OpenPass, TurnGate } from './turn-gate.ts';

export interface TurnDraftsParts {
  readonly llm: Pick<LlmService, 'warming'>;
  readonly node: NodeResources;
  readonly gate: TurnGate;
  readonly answering: Answering;
  readonly summaries: Summaries;
}

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
    const { llm, node, answering, summaries } = this.#parts;
    return this.#inLine(key, ownerOf(observer, key.userId), async (turn) => {
      const wasInDoubt = node.records.isInDoubt(key);
      const pass = await this.#pass(key, request, turn);
      node.records.requireKnown(key, { wasInDoubt });
      const owner = { work: turn, account: observer.account };
      const { mode, prompt, hasWaited } = await summaries.build(request, pass, owner);
      const isOver = pass.base === undefined && request.maxTokens !== 0;
      const generated = await answering.generate(prompt, key, request, observer, turn).finally(() => {
        if (isOver) llm.warming?.forget(sessionKeyText(key));
      });
      prompt.evaluated();
      const drafted = evaluatedTurn(key, { mode, prompt, hasWaited }, generated, pass);
      return { ...drafted, reasoningTokens: await answering.reasoningTokens(generated) };
    });
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
    // As a turn after it would read it: as well as it can.
    const reading: TurnRequest = { ...OWN_REQUEST, overflow: 'drop-oldest', ...request, place: { tip: 'new' } };
    try {
      await this.#promptTokens(reading, pass);
    } catch (error) {
      if (error instanceof DiscedgeError && error.code === 'context_overflow') throw error;
    }
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
