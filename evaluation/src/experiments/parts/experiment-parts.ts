import type { ExperimentModel } from '../experiment-model.ts';
import type { ExperimentChoices, Part, PlaySpec } from '../plays/play.ts';
import type { ExperimentName } from '../rows/experiment-rows.ts';
import { growthParts } from './growth.ts';
import { loadParts } from './load.ts';
import { paperParts } from './paper.ts';

const PARTS: Readonly<Record<ExperimentName, (choices: ExperimentChoices, model: ExperimentModel) => Part[]>> = {
  paper: paperParts,
  growth: growthParts,
  load: loadParts,
};

/** The parts that a run with these choices has. Parts that need a slow link are left out where there is no network for it. */
export function partsOf(experiment: ExperimentName, choices: ExperimentChoices, model: ExperimentModel): Part[] {
  const wanted = (name: string) => choices.parts === undefined || choices.parts.includes(name);
  return PARTS[experiment](choices, model)
    .filter(({ part }) => wanted(part))
    .filter(({ plays }) => choices.network.kind === 'namespaces' || !plays.some(needsLink))
    .filter(({ plays }) => plays.length > 0);
}

/** Parts that were asked for, or not left out, and are not played all the same. */
export function leftOut(
  experiment: ExperimentName,
  choices: ExperimentChoices,
  model: ExperimentModel,
): { readonly part: string; readonly why: string }[] {
  const played = partsOf(experiment, choices, model).map(({ part }) => part);
  return PARTS[experiment](choices, model)
    .filter(({ part }) => !played.includes(part) && choices.parts?.includes(part) !== false)
    .map(({ part, plays }) => ({
      part,
      why: plays.length === 0 ? 'it needs the embedded LLM Service' : 'a slow link needs network namespaces',
    }));
}

function needsLink({ site: { network } }: PlaySpec): boolean {
  return [network.client_link, network.node_link].some(
    ({ delay_ms, loss, mbit_per_s }) => delay_ms > 0 || loss > 0 || mbit_per_s !== null,
  );
}
