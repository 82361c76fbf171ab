// npm run bench:foreground [-- --seconds N --shape NAME|FILE.gguf --context IDS --think MS --reply IDS --visit MS --rows FILE]
//
// What warming costs the turns of clients that stay: to the first text, and for each id of a reply, at a node to which sessions of
// others come from another node, in slices of ten seconds in which it warms them and in which it does not. The demo model
// unless told otherwise, whose turns are so short that a wait shows.
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkFlags } from './support/arguments.ts';
import { FOREGROUND_COLUMNS, foregroundRows } from './support/foreground/foreground-rows.ts';
import { measureForeground } from './support/foreground/measure-foreground.ts';
import { shapedModelFile } from './support/handover/shaped-model-file.ts';
import { runInfo } from './support/run-info.ts';
import { table } from './support/table.ts';

/** Room for a context that has grown by half, its templates and its replies. */
const WINDOW_SHARE = 2;
const SEED = 1;

const values = benchmarkFlags('foreground', {
  seconds: { type: 'string', default: '240', help: 'N to measure for', isNumber: true },
  shape: {
    type: 'string',
    help: 'NAME of a shape that a model is made of, as of "discedge model make", or a GGUF file',
  },
  context: { type: 'string', default: '900', help: 'IDS of each session', isNumber: true },
  residents: { type: 'string', default: '2', help: 'N that stay at the node', isNumber: true },
  think: { type: 'string', default: '600', help: 'MS that they pause between turns, on average', isNumber: true },
  reply: { type: 'string', default: '64', help: 'IDS of each of their replies, at most', isNumber: true },
  visit: { type: 'string', default: '1000', help: 'MS from one session elsewhere to the next', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const info = runInfo('foreground', SEED);
const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync('npm', ['run', 'build', '--silent'], { cwd: root, stdio: 'inherit' });
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

const contextIds = Number(values.context);
const workload = {
  ...{ seconds: Number(values.seconds), residents: Number(values.residents), contextIds, seed: SEED },
  ...{ thinkMs: Number(values.think), visitEveryMs: Number(values.visit) },
  replyTokens: Number(values.reply),
};
const llmFlags = [
  ...(values.shape === undefined ? [] : ['--model', `foreground=${shapedModelFile(values.shape)}`]),
  ...['--threads', '1', '--parallel', '4', '--context-tokens', `${WINDOW_SHARE * contextIds}`],
];
const { turns, ...warmed } = await measureForeground({ ...workload, llmFlags });
const { rows, ratios } = foregroundRows(turns);
const shown: Partial<Record<(typeof FOREGROUND_COLUMNS)[number], string | number>>[] = [
  ...rows,
  { warming: 'on ÷ off', ...ratios },
];
console.log(table(shown, FOREGROUND_COLUMNS));
console.log(`\n${warmed.warmedIds} ids warmed, ${warmed.preemptions} times interrupted by a turn`);
if (values.rows !== undefined) {
  for (const row of [...rows, { warming: 'on ÷ off', ...ratios, ...warmed }]) {
    appendFileSync(resolve(values.rows), `${JSON.stringify({ ...info, ...workload, ...row })}\n`);
  }
}
