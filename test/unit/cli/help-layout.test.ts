/** Help at terminals of several widths: nothing runs over the edge, and nothing is said only to wide ones. */
import { Command } from 'commander';
import { expect, it } from 'vitest';
import { define } from '../../../src/cli/commands/serve.ts';
import { HELP_LAYOUT } from '../../../src/cli/help-layout.ts';

function helpAt(columns: number | undefined): string {
  let help = '';
  const command = new Command('serve').configureHelp(HELP_LAYOUT).configureOutput({
    getOutHelpWidth: () => columns as number,
    writeOut: (text) => {
      help += text;
    },
  });
  define(command);
  command.outputHelp();
  return help;
}

const words = (text: string) => text.split(/\s+/);

it.each([76, 80, 120, 200])('of %i columns, no line is longer', (columns) => {
  const help = helpAt(columns);
  const longest = Math.max(...help.split('\n').map(({ length }) => length));
  expect(longest).toBeLessThanOrEqual(columns);
  expect(words(help)).toEqual(words(helpAt(undefined)));
  if (columns > 80) expect(longest).toBeGreaterThan(columns * 0.8);
});

it('without a terminal each setting is one line, for grep', () => {
  expect(helpAt(undefined)).toMatch(/^ +--max-wait-ms <MILLISECONDS> +\S.*\(default: 1000 milliseconds\)$/m);
});
