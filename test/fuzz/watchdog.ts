import { Worker } from 'node:worker_threads';

/** No input takes so long on the slowest machine; what does has no end. */
const ENDLESS_MS = 30_000;
const INPUT_BYTES_MAX = 1024 * 1024;

/** Runs beside the thread that may be caught in a loop: keeps the input that caught it, and ends the process. */
const PROGRAM = `
  const { workerData: { state, input, endlessMs } } = require('node:worker_threads');
  const { writeFileSync, writeSync, mkdirSync } = require('node:fs');
  const { createHash } = require('node:crypto');
  const count = new Int32Array(state);
  for (;;) {
    const now = Atomics.load(count, 0);
    if (Atomics.wait(count, 0, now, endlessMs) !== 'timed-out' || Atomics.load(count, 1) === 0) continue;
    const [, length, folderLength] = count;
    const folder = Buffer.from(input, 0, folderLength).toString();
    const bytes = Buffer.from(input, folderLength, length);
    mkdirSync(folder, { recursive: true });
    const path = folder + '/' + createHash('sha256').update(bytes).digest('hex').slice(0, 12);
    writeFileSync(path, bytes);
    process.stderr.write('an input has no end within ' + endlessMs + ' ms; it is kept as ' + path + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }
`;

/** Ends the process, its input kept, when one is read without end. */
export class Watchdog {
  readonly #count = new Int32Array(new SharedArrayBuffer(12));
  readonly #input = new Uint8Array(new SharedArrayBuffer(INPUT_BYTES_MAX));
  readonly #worker: Worker;

  constructor() {
    const workerData = { state: this.#count.buffer, input: this.#input.buffer, endlessMs: ENDLESS_MS };
    this.#worker = new Worker(PROGRAM, { eval: true, workerData });
    this.#worker.unref();
  }

  begin(input: Uint8Array, folder: string): void {
    const name = Buffer.from(folder);
    this.#input.set(name);
    this.#input.set(input.subarray(0, INPUT_BYTES_MAX - name.length), name.length);
    this.#count[2] = name.length;
    this.#tell(Math.max(1, input.length));
  }

  end(): void {
    this.#tell(0);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #tell(length: number): void {
    Atomics.store(this.#count, 1, length);
    Atomics.add(this.#count, 0, 1);
    Atomics.notify(this.#count, 0);
  }
}
