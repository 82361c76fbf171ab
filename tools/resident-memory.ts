import { readFileSync } from 'node:fs';

/** What a process has in memory, without those that it has started; Linux. */
export function residentMiB(pid: number | 'self'): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
