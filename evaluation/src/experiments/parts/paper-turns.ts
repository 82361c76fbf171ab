import type { WrittenTurn } from '../../nodes/transcript-llm.ts';
import type { ScenarioTurn } from '../../scenario/scenario.ts';
import type { ExperimentModel } from '../experiment-model.ts';
import type { ExperimentChoices } from '../plays/play.ts';
import { NINE_WRITTEN_TURNS } from './written-turns.ts';

/** Where the long context is the point. */
export const LONG_CONTEXT_TOKENS = 8_192;
/** Replies are not the point where context and network are. */
export const SHORT_REPLY_TOKENS = 32;

/** Some 3,000 ids of English in the first message, as of a document that is talked about. */
const LONG_MESSAGE_CHARS = 14_000;
const LONG_TURNS = 5;
const QUICK_TURNS = 4;

/** Node of each turn as in the paper's roaming run (§4.3), by its place in a row of stays of two or three turns. */
const STAYS = [0, 0, 1, 1, 2, 2, 3, 3, 3];

/** The paper's messages; few of them for a smoke test. */
function nineTurns({ quick }: ExperimentChoices): readonly WrittenTurn[] {
  return quick ? NINE_WRITTEN_TURNS.slice(0, QUICK_TURNS) : NINE_WRITTEN_TURNS;
}

/** As in the paper's roaming run (§4.3). */
export function roamingTurns(choices: ExperimentChoices): ScenarioTurn[] {
  return nineTurns(choices).map(({ message }, index) => ({ message, node: (STAYS[index] as number) % choices.nodes }));
}

export function stayingTurns(choices: ExperimentChoices): ScenarioTurn[] {
  return nineTurns(choices).map(({ message }) => ({ message, node: 0 }));
}

/** A document, then questions; half of what the model can take at the most. */
export function longTurns(choices: ExperimentChoices, model: ExperimentModel): ScenarioTurn[] {
  const chars = Math.min(choices.quick ? 800 : LONG_MESSAGE_CHARS, model.contextTokens);
  const text = NINE_WRITTEN_TURNS.map(({ reply }) => reply).join('\n\n');
  const document = text.repeat(Math.ceil(chars / text.length)).slice(0, chars);
  const questions = nineTurns(choices).slice(1, LONG_TURNS);
  const first = `Read this, then answer my questions.\n\n${document}`;
  return [first, ...questions.map(({ message }) => message)].map((message) => ({ message, node: 0 }));
}
