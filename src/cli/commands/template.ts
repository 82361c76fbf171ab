import type { Command } from 'commander';
import { templateReports } from '../../doctor/template-reports.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { markdownReport, terminalReport } from '../template-report.ts';

interface CheckOptions {
  readonly vocab?: string;
  readonly json?: true;
  readonly markdown?: true;
}

export function define(command: Command): void {
  command
    .command('check')
    .description(
      'Say of which class conversations under each chat template are, and why; exit status 1 if one is refused.',
    )
    .argument('<FILE...>', 'Jinja, tokenizer_config.json or GGUF')
    .option('--vocab <GGUF>', "count in this model's ids; a file without weights will do")
    .option('--json', 'print JSON')
    .option('--markdown', 'print a table for a document')
    .action(check);
}

async function check(files: readonly string[], { vocab, json, markdown }: CheckOptions): Promise<void> {
  const templates = await templateReports(files, { vocabularyFile: vocab, nowMs: Date.now() });
  const print = json ? () => `${JSON.stringify({ templates })}\n` : markdown ? markdownReport : terminalReport;
  process.stdout.write(print(templates));
  if (templates.some(({ refused }) => refused !== undefined)) process.exitCode = EXIT_FAILURE;
}
