import { residentMiB } from '../resident-memory.ts';

const EVERY_MS = 200;

/** How much memory a process has resident, from now on. */
export class MemoryWatch {
  readonly beforeMiB: number;
  mostMiB: number;
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#pid = pid;
    this.beforeMiB = this.nowMiB;
    this.mostMiB = this.beforeMiB;
    this.#timer = setInterval(() => {
      this.mostMiB = Math.max(this.mostMiB, this.nowMiB);
    }, EVERY_MS);
  }

  get nowMiB(): number {
    return Math.round(residentMiB(this.#pid));
  }

  get growthMiB(): number {
    return this.mostMiB - this.beforeMiB;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
