import { rounded } from './statistics.ts';
import { table } from './table.ts';
import type { Mode, Portion } from './written-session.ts';

/** Bytes that the paper's prototype sends for the nine turns, whole context each time, as the paper gives them. */
export const PROTOTYPE_BYTES = { tokenized: 34_956, raw: 40_340 } as const;

/** What one session has cost, turn by turn. */
export interface SessionBytes {
  readonly turns: number;
  readonly recordBytes: number;
  readonly sentBytes: number;
  readonly wireBytes: number;
  readonly packets: number;
  readonly wireBytesByTurn: readonly number[];
  readonly sentBytesByTurn: readonly number[];
}

export type MeasuredSession = SessionBytes & {
  readonly mode: Mode;
  readonly portion: Portion;
  readonly stream: string;
};

/** Prints the sessions beside the paper's prototype, and returns a row of each. */
export function printedBytes(
  measured: readonly MeasuredSession[],
  counted: 'ip-packets' | 'message-payloads',
): readonly object[] {
  console.log(
    `\nNine turns with 128-id replies (written, Qwen2 ids), bytes a peer (${counted}, both ways); prototype = the paper's, whole context each turn`,
  );
  const lines = measured.map((row) => ({
    ...row,
    wireByTurn: row.wireBytesByTurn.join(' '),
    prototype: PROTOTYPE_BYTES[row.mode],
    // Payloads alone are no match for the prototype's packets.
    ...(counted === 'ip-packets' && { toPrototype: rounded(row.wireBytes / PROTOTYPE_BYTES[row.mode]) }),
  }));
  console.log(
    table(lines, [
      'mode',
      'portion',
      'stream',
      'recordBytes',
      'sentBytes',
      'wireBytes',
      'packets',
      'prototype',
      'toPrototype',
    ]),
  );
  console.log('\nBytes on the wire by turn');
  console.log(table(lines, ['mode', 'portion', 'stream', 'wireByTurn']));
  return lines.map(({ wireByTurn: _, ...line }) => line);
}
