import type { ExperimentModel } from '../experiment-model.ts';
import type { ExperimentChoices, Part } from '../plays/play.ts';
import { type PlayDraft, part } from './conversation-part.ts';
import { LONG_CONTEXT_TOKENS, longTurns, roamingTurns, SHORT_REPLY_TOKENS } from './paper-turns.ts';

/** A reply of a hundred words is read in half a minute; what a turn adds is evaluated in a fraction of this. */
const READING_MS = 5_000;
/** Some 3,000 ids take a slow core a minute: less than what is said of a long document is read for before the client moves. */
const LONG_READING_MS = 45_000;
const QUICK_READING_MS = 2_000;
/** One move, to a node that has seen nothing of the session. */
const LONG_STAYS = [0, 0, 1, 1];

const PLAYS: readonly PlayDraft[] = [
  { variant: 'warmed', mode: 'tokenized', flags: { warming: 'all' } },
  { variant: 'cold', mode: 'tokenized', flags: { warming: 'off' } },
  { variant: 'client-side', mode: 'client-side', llmService: 'embedded' },
  { variant: 'llama-server', mode: 'client-side', llmService: 'llama-server', bare: true },
];

/** Warming is for clients that read a reply before they go on. */
export function handover(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'handover',
    about:
      'The client goes from node to node, and reads each reply for some seconds: nodes that evaluate ahead what arrives from the others, nodes that do not, and history kept by the client.',
    nodes: choices.nodes,
    turns: roamingTurns(choices),
    maxTokens: choices.maxTokens,
    thinkMs: choices.quick ? QUICK_READING_MS : READING_MS,
    plays: PLAYS,
  });
}

/** The same where evaluating the context takes longest. */
export function longHandover(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'long-handover',
    about: 'A long document in the first message, and one move: what the first turn at the other node costs.',
    nodes: choices.nodes,
    turns: longTurns(choices, model)
      .slice(0, LONG_STAYS.length)
      .map(({ message }, index) => ({ message, node: LONG_STAYS[index] as number })),
    maxTokens: Math.min(choices.maxTokens, SHORT_REPLY_TOKENS),
    thinkMs: choices.quick ? QUICK_READING_MS : LONG_READING_MS,
    site: { contextTokens: LONG_CONTEXT_TOKENS },
    plays: PLAYS,
  });
}
