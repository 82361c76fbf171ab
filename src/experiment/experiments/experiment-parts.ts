import type { ExperimentName } from '../experiment-rows.ts';
import type { ExperimentModel } from './experiment-model.ts';
import { growthParts } from './growth.ts';
import { loadParts } from './load.ts';
import { paperParts } from './paper.ts';
import type { ExperimentChoices, Part, PlaySpec } from './play.ts';

/** All parts of an experiment, in the order in which they are told. */
export const PARTS: Readonly<Record<ExperimentName, (choices: ExperimentChoices, model: ExperimentModel) => Part[]>> = {
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

function needsLink({ site: { network } }: PlaySpec): boolean {
  return [network.client_link, network.node_link].some(
    ({ delay_ms, loss, mbit_per_s }) => delay_ms > 0 || loss > 0 || mbit_per_s !== null,
  );
}
