import { SUMMARY_REQUEST } from '../../../src/context-manager/modes/summary-request.ts';
import type { ContextId } from '../../../src/domain/identifiers.ts';
import { LAYER_NAMES, type LayerName } from '../../../src/domain/record/layer-stamps.ts';
import type { OptionalLayer } from '../../../src/domain/record/layers-left-out.ts';
import type { StoredMode } from '../../../src/domain/record/turn-record.ts';
import type { OverflowPolicy } from '../../../src/domain/session/context-window.ts';
import type { TokenSequence } from '../../../src/domain/token-sequence.ts';
import { bytes, type ToldTurn } from '../chatml-oracle.ts';
import type { Ask } from '../context-manager-rig.ts';
import { type Generation, IM_END } from '../probed-llm.ts';

export const WINDOW = 3200;
const SUMMARY = 'what was said';

export const USERS = ['ada', 'bob'] as const;
export type User = (typeof USERS)[number];
/** One node or the other. */
export type Place = 0 | 1;

export interface TurnAct {
  readonly at: Place;
  readonly user: User;
  readonly session: number;
  /** How many turns before the last one it goes on: a branch, where that is not 0. */
  readonly back: number;
  readonly text: string;
  readonly overflow: OverflowPolicy;
  readonly without: readonly OptionalLayer[];
}

export type LayerTexts = Readonly<Partial<Record<LayerName, string | undefined>>>;

/** A turn as its client was told it. */
export interface Told {
  readonly parent: Told | undefined;
  /** `undefined`: it cannot be named, as a copy in a fork that is not its last turn. */
  readonly contextId: ContextId | undefined;
  readonly said: string;
  /** With what was brought back before it. */
  readonly text: string;
  readonly reply: TokenSequence;
  readonly answer: string;
  /** Turns at the beginning that its prompt had not, and those that a summary stood for. */
  readonly left: number;
  readonly summed: number;
  readonly layers: LayerTexts;
  readonly generation: Generation;
  readonly ask: Ask;
}

export interface Conversation {
  readonly id: string;
  readonly user: User;
  readonly mode: StoredMode;
  readonly system: string | undefined;
  readonly turns: Told[];
}

/** What is asked of a node, and what its model is to read. */
export interface Asked {
  readonly act: TurnAct;
  readonly conversation: Conversation;
  readonly base: Told | undefined;
  readonly said: string;
  readonly layers: LayerTexts;
  readonly ask: Ask;
  /** Ids to keep free for a reply. */
  readonly reserve: number;
}

/** The scripted model's replies: some are cut by their limit. */
export function replyTo(prompt: string): string {
  if (prompt.endsWith(`${SUMMARY_REQUEST}<|im_end|>\n<|im_start|>assistant\n`)) return SUMMARY;
  return `answer ${'r'.repeat(prompt.length % 80)}`;
}

export function words(ids: TokenSequence): string {
  return Buffer.concat(ids.map((id) => Buffer.from(id < 256 ? [id] : id === IM_END ? '<end>' : '<start>'))).toString();
}

export function asksForSummary({ prompt }: Generation): boolean {
  return words(prompt.slice(-320)).includes(`${SUMMARY_REQUEST}<end>`);
}

export function lineOf(last: Told | undefined): Told[] {
  const line: Told[] = [];
  for (let turn = last; turn !== undefined; turn = turn.parent) line.push(turn);
  return line.reverse();
}

export function systemOf(layers: LayerTexts, { system }: Conversation): string {
  const texts = LAYER_NAMES.flatMap((name) => layers[name] ?? []);
  return [...texts, ...(system === undefined ? [] : [system])].join('\n\n');
}

/** What stands in a prompt for so many turns. */
export function standing(summed: number): ToldTurn[] {
  return summed === 0 ? [] : [{ text: SUMMARY_REQUEST, reply: [...bytes(SUMMARY), IM_END] as TokenSequence }];
}

/** What is put before a message of turns that are left out, as docs/context-overflow.md has it. */
export function broughtBack(line: readonly Told[], turns: readonly number[]): string {
  const passages = turns.map((turn) => {
    const { said, answer } = line[turn - 1] as Told;
    return `[turn ${turn}]\nUser: ${said}\nAssistant: ${answer}\n\n`;
  });
  const heading = 'From earlier in this conversation, which no longer fits:';
  return `${heading}\n\n${passages.join('')}My message now:\n\n`;
}
