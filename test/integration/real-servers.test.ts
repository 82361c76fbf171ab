// Tries to break the ground that other tests stand on: that the servers they start are the real ones, are ready when
// the start resolves, answer in the shapes our adapters read, and leave nothing behind, by really starting them.
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureServers } from '../../tools/real-servers/install.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { startNatsServer } from '../../tools/real-servers/nats-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';

const demoModel = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
/** The first run on a bare machine downloads the servers. */
const INSTALL_WAIT_MS = 900_000;

beforeAll(async () => {
  await ensureServers(['llama-server', 'nats-server']);
}, INSTALL_WAIT_MS);

describe('llama-server', () => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await startLlamaServer({ modelPath: demoModel, contextTokens: 512, slots: 1 });
  }, 60_000);
  afterAll(() => server?.stop());

  async function post<Reply>(path: string, body: unknown): Promise<{ status: number; body: Reply }> {
    const response = await fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
    return { status: response.status, body: (await response.json()) as Reply };
  }

  it('takes ids, gives back ids, and reuses what it has read', async () => {
    const { tokens } = (
      await post<{ tokens: number[] }>('/tokenize', { content: 'The key is under the blue mat. Where is the key?' })
    ).body;
    expect(tokens.length).toBeGreaterThan(4);

    const ask = { prompt: tokens, n_predict: 4, temperature: 0, ignore_eos: true, return_tokens: true };
    const first = await post<Completion>('/completion', ask);
    expect(first.status).toBe(200);
    expect(first.body.tokens).toHaveLength(4);
    expect(first.body.tokens_evaluated).toBe(tokens.length);
    expect(first.body.timings).toMatchObject({ cache_n: 0, prompt_n: tokens.length });

    const second = await post<Completion>('/completion', { ...ask, prompt: [...tokens, ...first.body.tokens] });
    // The last id it generated was never evaluated, so it is the only one left to read.
    expect(second.body.timings).toMatchObject({ cache_n: tokens.length + 3, prompt_n: 1 });
  });

  it('is gone when stop resolves, and can be started again at the same address', async () => {
    const { url, port, pid } = server;
    server.kill('SIGKILL');
    await server.stop();
    expect(isAlive(pid)).toBe(false);

    server = await startLlamaServer({ modelPath: demoModel, contextTokens: 512, slots: 1, port });
    expect(server.url).toBe(url);
  });

  it('fails at once, with its log, when the model is not there', async () => {
    const start = startLlamaServer({ modelPath: `${demoModel}.missing`, contextTokens: 512, slots: 1 });
    await expect(start).rejects.toThrow(/llama-server exited .*\n.*demo\.gguf\.missing/s);
  });
});

describe('nats-server', () => {
  it('says on connect that it has JetStream, and takes a configuration', async () => {
    const server = await startNatsServer({ config: 'max_payload: 4096' });
    try {
      const info = await firstLine(server.port);
      expect(info).toMatch(/^INFO \{/);
      expect(JSON.parse(info.slice('INFO '.length))).toMatchObject({ jetstream: true, max_payload: 4096 });
    } finally {
      await server.stop();
    }
    expect(isAlive(server.pid)).toBe(false);
  });
});

interface Completion {
  tokens: number[];
  tokens_evaluated: number;
  timings: { cache_n: number; prompt_n: number };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function firstLine(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1');
    socket.setEncoding('utf8');
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      if (!text.includes('\r\n')) return;
      resolve(text.slice(0, text.indexOf('\r\n')));
      socket.destroy();
    });
  });
}
