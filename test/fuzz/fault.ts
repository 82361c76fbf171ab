import { getHeapStatistics } from 'node:v8';
import { CPU_MS_MAX, type FuzzTarget, MEMORY_BYTES_MAX } from './fuzz-target.ts';

/** What an input broke. Two of one kind are most likely one mistake. */
export interface Fault {
  readonly kind: string;
  readonly message: string;
}

/** What is slow or large once may have been the machine, or garbage of others. */
const MEASURED_AGAIN = 2;

/** What `input` breaks of what the target promises, if it does. */
export async function faultOf(target: FuzzTarget, input: Buffer): Promise<Fault | undefined> {
  const { cpuMsMax = CPU_MS_MAX, memoryBytesMax = MEMORY_BYTES_MAX } = target;
  let excess: Fault | undefined;
  for (let times = 0; times <= MEASURED_AGAIN; times++) {
    const memoryBefore = memoryBytes();
    const cpuBefore = process.cpuUsage();
    try {
      // A promise would cost each input of those that need none a turn of the loop.
      const checked = target.check(input);
      if (checked !== undefined) await checked;
    } catch (error) {
      return thrown(error);
    }
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuMs = Math.round((user + system) / 1000);
    const grownBytes = memoryBytes() - memoryBefore;
    if (cpuMs > cpuMsMax) excess = { kind: 'slow', message: `takes ${cpuMs} ms of CPU time, ${cpuMsMax} at most` };
    else if (grownBytes > memoryBytesMax) excess = { kind: 'large', message: `takes ${grownBytes} bytes of memory` };
    else return undefined;
  }
  return excess;
}

/** By where it was thrown: messages have numbers and texts of the input in them. */
function thrown(error: unknown): Fault {
  if (!(error instanceof Error)) return { kind: 'throws', message: String(error) };
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const place = frames.find((line) => /\/(src|test\/fuzz)\//.test(line)) ?? '';
  return {
    kind: `${error.name}${place.replace(/^.*\/(?=src\/|test\/)/, ' ').replace(/\)$/, '')}`,
    message: error.stack ?? error.message,
  };
}

function memoryBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}
