// npm run bench:reading [-- --sessions N --model FILE --rows FILE]
//
// What it takes to read what is stored: N sessions of three turns, shown and exported one after the other at a node in front
// of a stock llama-server that is idle, that generates in every slot, and that is gone. And what keeping the text would cost.
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { temporaryFolder } from '../tools/node-process.ts';
import { startLlamaServer } from '../tools/real-servers/llama-server.ts';
import { type InProcessNode, startTestNode } from '../tools/test-node.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const TURNS = 3;
const REPLY_TOKENS = 32;
const SLOTS = 2;
const SEED = 1;

const values = benchmarkFlags('reading', {
  sessions: { type: 'string', default: '300', help: 'SESSIONS to read', isNumber: true },
  model: {
    type: 'string',
    default: fileURLToPath(new URL('../models/demo/demo.gguf', import.meta.url)),
    help: 'FILE of the model',
  },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const sessions = Array.from({ length: Number(values.sessions) }, (_, i) => `session-${i}`);
const info = runInfo('reading', SEED);
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

const rows: Array<Record<string, string | number>> = [];
const folder = temporaryFolder();
const server = await startLlamaServer({ modelPath: values.model, contextTokens: 2_048, slots: SLOTS });
const startedAt = performance.now();
const node = await startTestNode({ llm: server.url, store: 'leveldb', dataDir: folder.path });
try {
  console.log(`The node was ready ${rounded(performance.now() - startedAt, 0)} ms after its start.\n`);
  await write();
  await read('idle');
  const busy = Array.from({ length: SLOTS }, () => generateUntilAborted(node));
  await read('busy');
  await Promise.all(busy.map((stop) => stop()));
  await costOfText();
  await server.stop();
  await read('gone');
} finally {
  await node.close();
  await server.stop();
  folder.remove();
}
console.log(table(rows, ['llamaServer', 'read', 'sessions', 'failed', 'withoutText', 'totalMs', 'p50Ms', 'p99Ms']));
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
}

async function write(): Promise<void> {
  for (const [i, session_id] of sessions.entries()) {
    for (let turn = 1; turn <= TURNS; turn++) {
      const prompt = `My name is Ada ${i} and this is my message number ${turn}. Say what you think of it, in a few words.`;
      await node.turn({ session_id, turn, prompt, n_predict: REPLY_TOKENS, ignore_eos: true, temperature: 0 });
    }
  }
}

async function read(llamaServer: string): Promise<void> {
  for (const [how, path] of Object.entries({ show: '', export: '/export' })) {
    const times: number[] = [];
    let [failed, withoutText] = [0, 0];
    for (const session of sessions) {
      const beganAt = performance.now();
      const { status, body } = await node.get(`/sessions/${session}${path}`);
      times.push(performance.now() - beganAt);
      if (status !== 200) failed++;
      else if (body.turns.some(({ reply }: { reply?: string }) => reply === undefined)) withoutText++;
    }
    rows.push({
      llamaServer,
      read: how,
      sessions: sessions.length,
      failed,
      withoutText,
      totalMs: rounded(
        times.reduce((sum, ms) => sum + ms, 0),
        0,
      ),
      p50Ms: rounded(quantile(times, 0.5), 2),
      p99Ms: rounded(quantile(times, 0.99), 2),
    });
  }
}

/** Keeps a slot at work; returns what ends that. */
function generateUntilAborted(at: InProcessNode): () => Promise<void> {
  const abort = new AbortController();
  const generate = async () => {
    const body = { mode: 'client-side', prompt: 'Once upon a time', n_predict: 512, ignore_eos: true };
    while (!abort.signal.aborted) await at.post('/completion', body, abort.signal).catch(() => {});
  };
  const generating = generate();
  return async () => {
    abort.abort();
    await generating;
  };
}

/** Of a turn: bytes of its record, and what its text would add to it, as it is and as it could be sent. */
async function costOfText(): Promise<void> {
  const { bytes } = (await node.get('/sessions?limit=1')).body.data[0];
  const { turns } = (await node.get(`/sessions/${sessions[0]}`)).body;
  const texts: string[] = turns.map(({ user, reply }: { user: string; reply: string }) => `${user}\n${reply}`);
  const sum = (sizes: readonly number[]) => rounded(sizes.reduce((all, size) => all + size, 0) / TURNS, 0);
  const plain = sum(texts.map((text) => Buffer.byteLength(text)));
  const packed = sum(texts.map((text) => deflateRawSync(text, { level: 9 }).length));
  console.log(`A turn's record has ${rounded(bytes / TURNS, 0)} bytes; its text ${plain}, deflated ${packed}.\n`);
}
