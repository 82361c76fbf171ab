import type { ExperimentModel } from './experiment-model.ts';
import { leftOut, partsOf } from './parts/experiment-parts.ts';
import type { ExperimentChoices } from './plays/play.ts';
import type { ExperimentName } from './rows/experiment-rows.ts';

export interface ExperimentNote {
  /** null: about all of it. */
  readonly part: string | null;
  readonly text: string;
}

/** What a reader of the rows has to know before the first of them. */
export function experimentNotes(
  experiment: ExperimentName,
  choices: ExperimentChoices,
  model: ExperimentModel,
): ExperimentNote[] {
  const parts = partsOf(experiment, choices, model);
  const plays = (name: string) => parts.some(({ part }) => part === name);
  const conversation = parts.find(({ part }) => part === 'conversation');
  return [
    ...leftOut(experiment, choices, model).map(({ part, why }) => ({ part, text: `not played: ${why}` })),
    ...(model.replySource === 'random-weights' ? [{ part: null, text: RANDOM_WEIGHTS }] : []),
    ...(choices.network.kind === 'loopback' ? [{ part: null, text: ONE_INTERFACE }] : []),
    ...(plays('replication') ? [{ part: 'replication', text: PAST_THE_CONTEXT_MANAGER }] : []),
    ...(conversation !== undefined && conversation.turns < choices.turns
      ? [
          {
            part: conversation.part,
            text: `${conversation.turns} turns in place of ${choices.turns}: more do not fit in the ${model.contextTokens} ids that the model remembers.`,
          },
        ]
      : []),
    ...(plays('parallel-users') && !choices.llmServices.includes('llama-server')
      ? [{ part: 'parallel-users', text: NO_BARE_SERVER }]
      : []),
  ];
}

const RANDOM_WEIGHTS =
  'The model has random weights: what turns cost is real, what replies say and how many bytes it takes is not.';
const ONE_INTERFACE =
  'Nodes share one network interface: bytes between them are payload as the store counts it, not what is on the wire.';
const PAST_THE_CONTEXT_MANAGER =
  'Records are written straight to the replica, past the Context Manager, which writes deltas only; all forms go through ' +
  'the same store and stream. whole-context: a record with the ids of the whole session as its prompt. ' +
  "whole-context-json: a record with one message that is a JSON array of all ids, as the prototype's values are. " +
  'arrive_ms holds two HTTP requests of the experiment itself, alike in all forms.';
const NO_BARE_SERVER =
  'There is no bare llama-server to compare with: clients that keep the history talk to the edge node, too.';
