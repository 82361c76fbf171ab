// A node's memory is bounded by its settings and not by how many sessions it has had: nothing of a session stays once the cache has
// dropped it. Counts objects of the whole process, since what would stay may be held anywhere: a map, a signal's listeners, a queue.
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { queryObjects } from 'node:v8';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { SessionHistory } from '../../src/domain/session/session-history.ts';
import { type EdgeNode, startEdgeNode } from '../../src/edge-node/edge-node.ts';
import { temporaryFolder } from '../../tools/node-process.ts';

const CACHE_BYTES = 100_000;
/** What the cache takes a session of one turn for, at the least. */
const SESSION_BYTES_MIN = 2_800;
/** Until everything that is made once is made. */
const SESSIONS_BEFORE = 100;
const SESSIONS = 300;

it('holds no more after 400 sessions than after 100', async () => {
  const folder = temporaryFolder();
  const node = await startEdgeNode(
    loadConfig({
      flags: {
        ...{ dataDir: folder.path, listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'error', llm: 'scripted' },
        contextCacheBytes: `${CACHE_BYTES}`,
      },
      env: {},
    }),
  );
  try {
    await openSessions(node, 0, SESSIONS_BEFORE);
    const before = counts();
    await openSessions(node, SESSIONS_BEFORE, SESSIONS);
    const after = counts();
    expect(after.histories).toBeLessThanOrEqual(CACHE_BYTES / SESSION_BYTES_MIN);
    // What comes and goes beside sessions is far from one object for each.
    expect(after.objects - before.objects).toBeLessThan(SESSIONS / 4);
    expect(after.functions - before.functions).toBeLessThan(SESSIONS / 4);
  } finally {
    await node.close();
    folder.remove();
  }
});

/** After a full collection. */
function counts() {
  return {
    histories: queryObjects(SessionHistory) as number,
    objects: queryObjects(Object) as number,
    functions: queryObjects(Function) as number,
  };
}

/** Over one connection, by what leaves nothing behind itself: `fetch` has objects of its own for each request. */
async function openSessions({ address }: EdgeNode, first: number, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let session = first; session < first + count; session++) {
    const body = { session_id: `s${session}`, turn: 1, prompt: 'Hello', n_predict: 8, stream: session % 2 === 0 };
    const asked = request(`${address.url}/completion`, {
      ...{ method: 'POST', agent },
      headers: { 'content-type': 'application/json' },
    });
    asked.end(JSON.stringify(body));
    const [reply] = (await once(asked, 'response')) as [IncomingMessage];
    if (reply.statusCode !== 200) throw new Error(await text(reply));
    await text(reply);
  }
  agent.destroy();
}
