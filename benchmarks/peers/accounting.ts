import { readFileSync } from 'node:fs';
import { residentMiB } from '../../tools/resident-memory.ts';

/** The kernel counts in hundredths of a second. */
const TICK_MS = 10;

export interface Account {
  /** Processor time that it has used since it started. */
  readonly cpuMs: number;
  readonly rssMiB: number;
  /** What it has given the disk to write. */
  readonly writtenBytes: number;
}

/** What the operating system has booked on a process and its threads (Linux). */
export function accountOf(pid: number): Account {
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  // Its name, which comes before, may have spaces in it.
  const fields = read('stat').split(') ').at(-1)?.split(' ') ?? [];
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    rssMiB: Math.round(residentMiB(pid)),
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(read('io'))?.[1]),
  };
}
