import type { Clock } from '../../src/environment/environment.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { pause } from '../../src/waiting/pause.ts';

/** A clock whose timers stand still while its process hangs, and are late then. */
export class HaltingClock implements Clock {
  readonly #clock: Clock;
  readonly #late: (() => void)[] = [];
  isHalted = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly now = () => this.#clock.now();
  readonly monotonic = () => this.#clock.monotonic();
  readonly steady = () => this.#clock.steady();

  readonly after = (delayMs: number, callback: () => void): (() => void) => {
    let isCancelled = false;
    const run = () => {
      if (isCancelled) return;
      if (this.isHalted) this.#late.push(run);
      else callback();
    };
    const cancel = this.#clock.after(delayMs, run);
    return () => {
      isCancelled = true;
      cancel();
    };
  };

  halt(): void {
    this.isHalted = true;
  }

  goOn(): void {
    this.isHalted = false;
    for (const run of this.#late.splice(0)) run();
  }
}

/** An LLM Service that takes its time before it begins. */
export function slowed(llm: LlmService, clock: Clock, waitMs: () => number): LlmService {
  return new Proxy(llm, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== 'generate') return typeof value === 'function' ? value.bind(target) : value;
      return async function* (...[request, signal]: Parameters<LlmService['generate']>) {
        await pause(clock, waitMs(), signal);
        signal.throwIfAborted();
        yield* target.generate(request, signal);
      };
    },
  });
}
