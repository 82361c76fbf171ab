import { freemem } from 'node:os';

/**
 * Bytes of main memory that this process can have: what the system has left, within the limit of its control group. Node
 * tells the second alone where there is one, though the machine may have less.
 */
export function availableMemoryBytes(
  system: { readonly free: number; readonly withinLimit: number } = {
    free: freemem(),
    withinLimit: process.availableMemory(),
  },
): number {
  return Math.min(system.free, system.withinLimit);
}
