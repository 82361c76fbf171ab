import { readFileSync } from 'node:fs';

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
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  }

  get growthMiB(): number {
    return this.mostMiB - this.beforeMiB;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
