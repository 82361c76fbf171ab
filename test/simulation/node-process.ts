import { ContextManager } from '../../src/context-manager/context-manager.ts';
import { NodeResources } from '../../src/context-manager/node-resources.ts';
import type { ContextStore } from '../../src/context-store/context-store.ts';
import { OutcomeUnknown } from '../../src/context-store/outcome-unknown.ts';
import { StoreListeners } from '../../src/context-store/store-listeners.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { ContextId, Incarnation, NodeId } from '../../src/domain/identifiers.ts';
import type { TokenSequence } from '../../src/domain/token-sequence.ts';
import { nodeTimeOver, timedEnvironment } from '../../src/edge-node/time/timed-environment.ts';
import type { Clock } from '../../src/environment/environment.ts';
import type { ChatTemplate } from '../../src/llm-service/chat-template.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { type Chance, yielded } from '../../tools/chance.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';

export const FAULTS = ['append', 'appended', 'late', 'read', 'llm', 'midway', 'no end'] as const;
export type Fault = (typeof FAULTS)[number];

/** The longest that one call to the store or the LLM Service takes to begin or end, in rounds of the event loop. */
const SLOW_ROUNDS = 4;

/** The longest that a write takes which is given up before it ends: other requests of its session come meanwhile. */
const LATE_ROUNDS = 100;

/** One life of the node. Killed, it stops wherever it is: nothing of it reaches the store or a client any more. */
export class NodeProcess {
  readonly node: NodeResources;
  readonly manager: ContextManager;
  /** Met by the next calls of their kind. */
  readonly faults: Fault[] = [];
  /** Resolves when it is killed. */
  readonly killed: Promise<void>;
  #dead = false;
  #onKilled = () => {};
  #timers = 0;
  readonly #chance: Chance;

  constructor(parts: {
    environment: VirtualEnvironment;
    store: ContextStore;
    template: ChatTemplate;
    chance: Chance;
    /** Told every prompt before it is evaluated. */
    onPrompt: (prompt: TokenSequence) => void;
  }) {
    const { environment, store, template, chance, onPrompt } = parts;
    this.#chance = chance;
    this.killed = new Promise((resolve) => {
      this.#onKilled = resolve;
    });
    const own = { ...environment, clock: this.#clock(environment.clock), metrics: virtualEnvironment().metrics };
    const settings = { clockToleranceMs: 60_000, ttlSecondsMax: 1e6, kept: undefined, isShared: false };
    const time = nodeTimeOver(own.clock, settings);
    this.node = new NodeResources({
      store: this.#storeOf(store),
      environment: timedEnvironment(own, time),
      time,
      options: {
        nodeId: 'node' as NodeId,
        incarnation: '0000000a' as Incarnation,
        turnGate: 'event',
        turnGateRetriesMax: 3,
        turnGateBackoffMs: 10,
        ttlSeconds: 1e6,
        ttlSecondsMax: 1e6,
        sessionQueueMax: 4,
        turnsInFlightMax: 1000,
        // Room for about two short sessions, so that some are always evicted.
        contextCacheBytes: 30_000,
        replyTokensDefault: 64,
        replyTokensMax: 64,
        finishAbandonedMs: 2000,
        arbiterWaitMs: 50,
        warming: 'off',
        warmingChancePercent: 40,
        warmingIdsPerSecond: undefined,
        warmingKvBytes: undefined,
      },
    });
    const llm = this.#llm(environment, onPrompt);
    this.manager = new ContextManager({ llm, template, node: this.node, defaultMode: 'tokenized' });
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** Timers set and neither run nor cancelled. */
  get timers(): number {
    return this.#timers;
  }

  kill(): void {
    this.#dead = true;
    this.#onKilled();
  }

  /** Tells of a record as late as a store may: readers can have it long before. */
  #storeOf(inner: ContextStore): ContextStore {
    const listeners = new StoreListeners(virtualEnvironment().logger);
    const untold = new Set<ContextId>();
    inner.onRecord(({ hash }) => void untold.add(hash));
    return {
      sharing: undefined,
      append: async (sealed) => {
        const store = async (rounds: number) => {
          await yielded(rounds);
          await this.#slowly('append');
          await inner.append(sealed);
          await this.#slowly('appended');
          if (untold.delete(sealed.hash)) listeners.tell(sealed, 'here');
        };
        if (!this.#meets('late')) return store(0);
        throw new OutcomeUnknown('the disk has not finished a write', store(this.#chance.below(LATE_ROUNDS)));
      },
      read: async (key) => {
        await this.#slowly('read');
        const stored = await inner.read(key);
        await this.#slowly();
        return stored;
      },
      list: (query) => inner.list(query),
      keys: (query) => inner.keys(query),
      expire: (...args) => inner.expire(...args),
      erasures: inner.erasures,
      erase: (...args) => inner.erase(...args),
      wipeErased: (...args) => inner.wipeErased(...args),
      status: () => inner.status(),
      onRecord: (listener) => listeners.onRecord(listener),
      onRemoved: (listener) => inner.onRemoved(listener),
      close: async () => {},
    };
  }

  #llm(environment: VirtualEnvironment, onPrompt: (prompt: TokenSequence) => void): LlmService {
    const inner = startScripted({}, environment);
    const process = this;
    return {
      description: inner.description,
      tokenize: (text, how) => inner.tokenize(text, how),
      async detokenize(ids, how) {
        await process.#slowly();
        return inner.detokenize(ids, how);
      },
      pieces: (ids) => inner.pieces(ids),
      slots: () => inner.slots(),
      async *generate(request, signal) {
        onPrompt(request.prompt);
        const fault = (['llm', 'midway', 'no end'] as const).find((kind) => process.#meets(kind));
        if (fault === 'llm') throw new DiscedgeError('llm_unavailable', 'out of order');
        for await (const event of inner.generate(request, signal)) {
          await process.#slowly();
          if (event.kind === 'end' && fault === 'no end') return;
          yield event;
          if (fault === 'midway') throw new DiscedgeError('llm_unavailable', 'went away');
        }
      },
      ready: () => inner.ready(),
      close: () => inner.close(),
    };
  }

  #clock(inner: Clock): Clock {
    return {
      now: () => inner.now(),
      monotonic: () => inner.monotonic(),
      steady: () => inner.steady(),
      after: (delayMs, callback) => {
        this.#timers++;
        let over = false;
        const end = () => {
          if (!over) this.#timers--;
          over = true;
        };
        const cancel = inner.after(delayMs, () => {
          end();
          if (!this.#dead) callback();
        });
        return () => {
          end();
          cancel();
        };
      },
    };
  }

  /** Takes a while; never comes back to a dead process. */
  async #slowly(fault?: Fault): Promise<void> {
    await yielded(this.#chance.below(SLOW_ROUNDS));
    if (this.#dead) await new Promise(() => {});
    if (fault !== undefined && this.#meets(fault)) throw new DiscedgeError('store_unavailable', 'the disk is full');
  }

  #meets(fault: Fault): boolean {
    const at = this.faults.indexOf(fault);
    if (at >= 0) this.faults.splice(at, 1);
    return at >= 0;
  }
}
