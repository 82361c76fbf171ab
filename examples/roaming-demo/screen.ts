import { styleText } from 'node:util';
import type { Reply } from '../../src/client/client.ts';

/** One turn and what it cost. */
export interface TurnFigures {
  readonly at: string;
  readonly says: string;
  readonly reply: Reply;
  /** From the request to the last byte of the reply. */
  readonly tookMs: number;
  /** Bytes of messages that all nodes together received from each other. */
  readonly betweenNodes: number;
}

const COLOURS = ['cyan', 'yellow', 'magenta'] as const;
const colourOf = new Map<string, (typeof COLOURS)[number]>();

export function note(text: string): void {
  print(styleText('dim', `— ${text}`));
}

export function printHeading(nodes: readonly { readonly name: string; readonly url: string }[]): void {
  print('');
  for (const [index, { name, url }] of nodes.entries()) {
    colourOf.set(name, COLOURS[index % COLOURS.length] as (typeof COLOURS)[number]);
    print(`  ${named(name)} ${url}`);
  }
  print('\nA robot drives past them and sends each nothing but its new message, a session id and a turn number.\n');
}

export function printReply({ at, says, reply, tookMs, betweenNodes }: TurnFigures): void {
  const { evaluatedTokens, cachedTokens } = reply.usage;
  print(`${String(reply.turn).padStart(2)} ${named(at)} robot: ${says}`);
  print(`${' '.repeat(13)} node:  ${styleText('bold', reply.text)}`);
  const facts = [
    `${Math.round(tookMs)} ms`,
    `waited ${reply.waitedMs.toFixed(1)} ms for its context`,
    `${evaluatedTokens} tokens evaluated, ${cachedTokens} found in the KV cache`,
    `${betweenNodes.toLocaleString('en')} B between the nodes`,
  ];
  print(`${' '.repeat(13)} ${styleText('dim', facts.join(' · '))}\n`);
}

export function printSummary(turns: readonly TurnFigures[]): void {
  const bytes = turns.reduce((sum, { betweenNodes }) => sum + betweenNodes, 0);
  print(
    `${turns.length} turns, ${new Set(turns.map(({ at }) => at)).size} nodes, one conversation; ` +
      `${bytes.toLocaleString('en')} B between the nodes in all\n` +
      '(bytes of messages, the nodes getting to know each other again included; TLS and TCP are not).',
  );
}

function named(name: string): string {
  return styleText(colourOf.get(name) ?? 'white', name.padEnd(10));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
