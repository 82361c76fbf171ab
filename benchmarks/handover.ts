// npm run bench:handover [-- --turns N --rows FILE]
// npm run bench:handover -- --shape NAME|FILE.gguf [--sizes IDS,IDS --repeats N --rows FILE]
//
// What moving costs a client: from sending a turn to the first text of its reply, at another node and where it was.
// Without --shape for a client that does not pause, with no model and with the demo model. With --shape for a model of real
// cost, embedded and in llama-server, at several sizes of context: staying, at a node that has evaluated the context ahead, and
// at one that has not.
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkFlags } from './support/arguments.ts';
import { MOVING_CLIENT_COLUMNS, measureMovingClient, type Row } from './support/handover/moving-client.ts';
import { shapedModelFile } from './support/handover/shaped-model-file.ts';
import { measureWarmAndCold, WARM_AND_COLD_COLUMNS } from './support/handover/warm-and-cold.ts';
import { runInfo } from './support/run-info.ts';
import { table } from './support/table.ts';

const SEED = 1;
/** What each variant's LLM Service adds to the picture. */
const LLM_SERVICES = {
  /** No model: the handover itself. */
  scripted: ['--llm', 'scripted'],
  /** A real one, which has the context in its KV cache only where the last turn was. */
  'demo model': ['--threads', '1', '--parallel', '2'],
} as const;

const values = benchmarkFlags('handover', {
  turns: { type: 'string', default: '400', help: 'TURNS of each kind, without --shape', isNumber: true },
  shape: {
    type: 'string',
    help: 'NAME of a shape that a model is made of, as of "discedge model make", or a GGUF file',
  },
  sizes: { type: 'string', default: '512,1024,2048,4096', help: 'IDS of the contexts, with --shape' },
  repeats: { type: 'string', default: '3', help: 'TURNS of each kind and size, with --shape', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const info = runInfo('handover', SEED);
const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync('npm', ['run', 'build', '--silent'], { cwd: root, stdio: 'inherit' });
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

const { measured, columns } = values.shape === undefined ? movingClient() : warmAndCold(values.shape);
// Each as soon as it is there: what is measured later takes the longest, and may be waited for in vain.
for await (const rows of measured) {
  console.log(`${table(rows, [...columns])}\n`);
  if (values.rows === undefined) continue;
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
}

interface Measurement {
  readonly measured: AsyncIterable<readonly Row[]>;
  readonly columns: readonly string[];
}

function movingClient(): Measurement {
  console.log('From sending a turn to the first text of its reply; the client does not pause');
  return { measured: measureMovingClients(), columns: MOVING_CLIENT_COLUMNS };
}

async function* measureMovingClients(): AsyncGenerator<readonly Row[]> {
  for (const [llm, flags] of Object.entries(LLM_SERVICES)) {
    yield await measureMovingClient(llm, flags, Number(values.turns));
  }
}

function warmAndCold(shape: string): Measurement {
  console.log('From sending a turn to the first text of its reply: median, least and most');
  const sizes = values.sizes.split(',').map(Number);
  const options = { modelPath: shapedModelFile(shape), sizes, repeats: Number(values.repeats) };
  return { measured: measureWarmAndCold(options), columns: WARM_AND_COLD_COLUMNS };
}
