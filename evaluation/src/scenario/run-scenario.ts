import type { Fetch } from 'discedge/client';
import { DiscedgeClientError } from 'discedge/internal/client/errors';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { Clock } from 'discedge/internal/environment/environment';
import { ChatPrompt } from '../conversation/chat-prompt.ts';
import { ClientSideConversation } from '../conversation/client-side-conversation.ts';
import type { Answered, Conversation } from '../conversation/conversation.ts';
import { EdgeSideConversation } from '../conversation/edge-side-conversation.ts';
import { MeteredFetch } from '../conversation/metered-fetch.ts';
import { type OpenAiApi, openAiConversation } from '../conversation/openai-conversation.ts';
import { toldByNode } from '../conversation/told-by-node.ts';
import { type Place, type PlannedTurn, planTurns, textFor } from '../conversation/turn-plan.ts';
import { type KnownNode, tokenizeAt } from '../nodes/known-node.ts';
import type { RowSink } from './run-recorder.ts';
import type { RunEnd, RunFacts, RunStart, TurnRow } from './run-row.ts';
import type { Scenario } from './scenario.ts';

export interface RunOptions {
  readonly scenario: Scenario;
  readonly mode: ContextMode;
  /** By which of OpenAI's APIs its clients talk; `undefined`: by the nodes' own. */
  readonly api?: OpenAiApi | undefined;
  /** As many as the scenario has, in its order. */
  readonly nodes: readonly KnownNode[];
  readonly facts: RunFacts;
  readonly sink: RowSink;
  readonly clock: Clock;
  /** Told of each row of a turn after it was recorded. */
  readonly onTurn?: ((row: TurnRow) => void) | undefined;
  /** Waited for between a turn that was answered and the next one of its user. */
  readonly afterTurn?: ((row: TurnRow) => Promise<void>) | undefined;
  /** Whether a user's connections are used again; default true. */
  readonly keepsConnections?: boolean | undefined;
  /** Interrupts: turns under way are given up, the run ends incomplete. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunResult {
  readonly turns: readonly TurnRow[];
  readonly end: RunEnd;
}

/**
 * Plays a scenario: repeat by repeat, in each all users at once, every user's turns one after the other. Each turn is
 * recorded when it is over. A turn that fails ends its user's session, not the run. Throws what the sink throws.
 */
export async function runScenario(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  return run.play();
}

class Run {
  readonly #options: RunOptions;
  readonly #turns: TurnRow[] = [];
  #chatPrompt: ChatPrompt | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  async play(): Promise<RunResult> {
    const { scenario, mode, nodes, sink, clock, signal } = this.#options;
    const startMs = clock.monotonic();
    sink.append(this.#start());
    if (mode === 'client-side') this.#chatPrompt = await this.#makeChatPrompt(nodes[0] as KnownNode);
    for (let repeat = 1; repeat <= scenario.repeats && !signal?.aborted; repeat++) {
      const users = Array.from({ length: scenario.users }, (_, index) => index + 1);
      await Promise.all(users.map((user) => this.#playUser({ user, repeat })));
    }
    const end = this.#end(clock.monotonic() - startMs);
    sink.append(end);
    return { turns: this.#turns, end };
  }

  async #playUser(place: Place): Promise<void> {
    const { scenario, clock, signal } = this.#options;
    const metered = new MeteredFetch(clock, { keepsConnections: this.#options.keepsConnections ?? true });
    try {
      const conversation = this.#converse(place, metered.fetch);
      let before: PlannedTurn | undefined;
      for (const planned of planTurns(scenario, place)) {
        await pause(planned.thinkMs, clock, signal);
        if (signal?.aborted) return;
        const moved = before !== undefined && before.node !== planned.node;
        const row = await this.#playTurn(conversation, metered, { ...place, planned, moved });
        if (row === undefined) return;
        this.#record(row);
        if (row.error !== '') return;
        await this.#options.afterTurn?.(row);
        before = planned;
      }
    } finally {
      metered.close();
    }
  }

  /** `undefined` when the run was interrupted in the middle of it: nobody knows how long it would have taken. */
  async #playTurn(
    conversation: Conversation,
    metered: MeteredFetch,
    { user, repeat, planned, moved }: Place & { planned: PlannedTurn; moved: boolean },
  ): Promise<TurnRow | undefined> {
    const { scenario, nodes, facts, clock, signal } = this.#options;
    const node = nodes[planned.node] as KnownNode;
    const before = metered.bytes;
    const at = isoTime(clock);
    const startMs = clock.monotonic();
    let firstMs: number | undefined;
    let answered: Answered | undefined;
    let error = '';
    try {
      answered = await conversation.send({
        message: planned.message,
        url: node.url,
        onFirstText: () => {
          firstMs = clock.monotonic();
        },
        signal,
      });
    } catch (failure) {
      if (signal?.aborted) return undefined;
      if (!(failure instanceof DiscedgeClientError)) throw failure;
      error = failure.code;
    }
    const endMs = clock.monotonic();
    const after = metered.bytes;
    return {
      kind: 'turn',
      ...facts,
      at,
      user,
      repeat,
      turn: planned.turn,
      node: scenario.nodes[planned.node]?.name ?? '',
      node_url: node.url,
      node_id: node.nodeId,
      moved,
      think_ms: planned.thinkMs,
      response_ms: rounded(endMs - startMs),
      first_token_ms: firstMs === undefined ? null : rounded(firstMs - startMs),
      request_bytes: after.sent - before.sent,
      reply_bytes: after.received - before.received,
      prompt_chars: answered?.promptChars ?? planned.message.length,
      client_retries: answered?.clientRetries ?? 0,
      ...toldByNode(answered?.wire ?? {}),
      error,
    };
  }

  #record(row: TurnRow): void {
    this.#options.sink.append(row);
    this.#turns.push(row);
    this.#options.onTurn?.(row);
  }

  #converse(place: Place, fetch: Fetch): Conversation {
    const { scenario, mode, api } = this.#options;
    const userId = scenario.users === 1 ? scenario.userId : `${scenario.userId}-${place.user}`;
    const system = scenario.system === undefined ? undefined : textFor(scenario, scenario.system, place);
    const common = { ...scenario, fetch, userId, system };
    if (api !== undefined) return openAiConversation(api, common);
    if (mode !== 'client-side') return new EdgeSideConversation({ ...common, mode });
    return new ClientSideConversation({ ...common, chatPrompt: this.#chatPrompt as ChatPrompt });
  }

  async #makeChatPrompt(node: KnownNode): Promise<ChatPrompt> {
    const { clock } = this.#options;
    const metered = new MeteredFetch(clock);
    try {
      return await ChatPrompt.create(node.prompt, (text, how) => tokenizeAt(node, metered.fetch, text, how), clock);
    } finally {
      metered.close();
    }
  }

  #start(): RunStart {
    const { scenario, nodes, facts, clock } = this.#options;
    return {
      kind: 'run_start',
      ...facts,
      at: isoTime(clock),
      nodes: nodes.map(({ url, nodeId, keygroup }, index) => ({
        name: scenario.nodes[index]?.name ?? '',
        url,
        node: nodeId,
        keygroup,
      })),
      users: scenario.users,
      repeats: scenario.repeats,
      turns_planned: turnsPlanned(scenario),
    };
  }

  #end(wallMs: number): RunEnd {
    const { scenario, facts, clock, signal } = this.#options;
    const failed = this.#turns.filter(({ error }) => error !== '').length;
    const answered = this.#turns.length - failed;
    const complete = answered === turnsPlanned(scenario);
    return {
      kind: 'run_end',
      ...facts,
      at: isoTime(clock),
      complete,
      reason: complete ? 'done' : signal?.aborted ? 'interrupted' : 'turns_failed',
      turns_answered: answered,
      turns_failed: failed,
      wall_ms: rounded(wallMs),
    };
  }
}

export function turnsPlanned({ turns, users, repeats }: Scenario): number {
  return turns.length * users * repeats;
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function isoTime(clock: Clock): string {
  return new Date(clock.now()).toISOString();
}

/** Ends early, without an error, when the run is interrupted. */
function pause(waitMs: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  if (waitMs === 0 || signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(waitMs, end);
    signal?.addEventListener('abort', end, { once: true });
  });
}
