// How many turns of a principal over its limits a node refuses in a second of its processor time, by API and by size of the body.
// A key whose ids are used up asks again and again; nothing is generated. `npm run bench:refusals`.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { KeyFolder } from '../src/access/key-folder.ts';
import { newKey } from '../tools/new-key.ts';
import { startNodeProcess, temporaryFolder } from '../tools/node-process.ts';

const REFUSALS = 3_000;
const AT_ONCE = 16;
/** Linux counts processor time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

const folder = temporaryFolder();
const keys = new KeyFolder(join(folder.path, 'keys'));
const { text } = await newKey(keys, { scopes: ['service'], user: 'crowd', limits: { idsPerMinute: 1 } });
const node = await startNodeProcess([
  ...['--llm', 'scripted', '--data-dir', join(folder.path, 'data'), '--keys-dir', keys.path],
]);
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

const chat = (said: string) => ({ messages: [{ role: 'user', content: said }], max_tokens: 40 });
const apis = {
  '/completion': (said: string) => ({ user_id: 'ada', session_id: 'one', turn: 1, prompt: said, n_predict: 40 }),
  '/v1/chat/completions': chat,
  '/v1/responses': (said: string) => ({ input: said, max_output_tokens: 40 }),
  '/v1/messages': chat,
};

function post(path: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${text}`, 'content-type': 'application/json' };
    const asked = request(`${node.url}${path}`, { method: 'POST', agent, headers }, (reply) => {
      reply.resume().once('end', () => resolve(reply.statusCode as number));
    });
    asked.once('error', reject).end(body);
  });
}

/** Seconds of processor time that the node has taken. */
function taken(): number {
  const fields = readFileSync(`/proc/${node.process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function refusals(path: string, body: string): Promise<number> {
  let left = REFUSALS;
  const one = async () => {
    while (left-- > 0) if ((await post(path, body)) !== 429) throw new Error(`${path} was not refused`);
  };
  const before = taken();
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return Math.round(REFUSALS / (taken() - before));
}

try {
  // Overdrawn for a quarter of an hour.
  await post('/completion', JSON.stringify({ prompt: 'Use all of it up.', n_predict: 15 }));
  for (const bytes of [300, 64 * 1024]) {
    for (const [path, body] of Object.entries(apis)) {
      const json = JSON.stringify(body('It is said again. '.repeat(bytes / 18)));
      await refusals(path, json);
      console.log(`${path}, ${json.length} bytes: ${await refusals(path, json)} refusals a second of processor time`);
    }
  }
} finally {
  agent.destroy();
  await node.process.stop();
  folder.remove();
}
