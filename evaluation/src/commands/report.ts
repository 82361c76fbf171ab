import { type Command, InvalidArgumentError } from 'commander';
import { EXIT_USAGE, paragraph, printable, styled } from 'discedge/cli';
import type { MadeReport } from '../report/make-report.ts';

interface ReportFlags {
  readonly compare?: boolean;
  readonly output: string;
}

/** Of files read at once; each is held in memory. */
const RUNS_MAX = 32;

export function define(command: Command): void {
  command
    .argument('<run...>', 'NDJSON files that "discedge experiment" or "discedge scenario run" wrote', appendRun)
    .option('--compare', 'show what changed from the first run to the second')
    .option('-o, --output <DIR>', 'folder for the page and its figures', 'discedge-report')
    .addHelpText(
      'after',
      paragraph(
        'Writes index.html, which needs nothing else, and each figure as SVG and PNG. Runs of the same scenario in several ' +
          'modes come into the same figures. Incomplete runs are used as far as they came, and marked.',
      ),
    )
    .action(report);
}

async function report(paths: readonly string[], { compare = false, output }: ReportFlags): Promise<void> {
  if (compare && paths.length !== 2) {
    process.stderr.write(`discedge: --compare takes two runs, the earlier one first; ${paths.length} given\n`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const { makeReport } = await import('../report/make-report.ts');
  process.stdout.write(describeReport(await makeReport({ paths, compare, folder: output })));
}

function describeReport({ page, figures, flaws, withoutPng }: MadeReport): string {
  return [
    ...figures.map(({ name, finding }) => `${styled('dim', printable(name))}\n  ${printable(finding)}`),
    '',
    ...flaws.map((flaw) => styled('yellow', printable(flaw))),
    ...(withoutPng === undefined ? [] : [styled('yellow', `no PNG on this machine: ${printable(withoutPng)}`)]),
    page,
    ...figures.flatMap(({ paths }) => paths.map((path) => `  ${path}`)),
    '',
  ].join('\n');
}

function appendRun(path: string, paths: readonly string[] | undefined): string[] {
  const all = [...(paths ?? []), path];
  if (all.length > RUNS_MAX) throw new InvalidArgumentError(`At most ${RUNS_MAX} runs make one report.`);
  return all;
}
