import { fromOptionalPackage } from '../domain/optional-package.ts';
import { VERSION } from '../edge-node/version.ts';
import type { CommandEntry } from './command-entry.ts';

/** What plays, measures and draws, and the packages that takes; an edge node does without. */
const EVALUATION = 'discedge-evaluation';

/** Commands that are listed here and defined in that package. */
export const EVALUATION_COMMANDS: readonly CommandEntry[] = [
  entry('scenario', 'Play a written conversation at edge nodes and record every turn.'),
  entry('traffic', 'Capture and sum the traffic between edge nodes, with tcpdump.'),
  entry('model', 'Make a model that costs what a real one costs, for measurements without its weights.'),
  entry('experiment', "Run the paper's experiments, and ours, on this machine."),
  entry('report', 'Draw what experiments and scenarios measured: one page, figures as SVG and PNG.'),
];

/** Its `load` throws `package_missing` where the package is not installed. */
function entry(name: string, description: string): CommandEntry {
  const wanted = { name: EVALUATION, version: VERSION, need: `"discedge ${name}" is a command of` };
  return {
    name,
    description,
    load: () => fromOptionalPackage(wanted, () => import(`${EVALUATION}/commands/${name}`)),
  };
}
