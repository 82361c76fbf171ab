// KV state that an embedded engine keeps in files: conversations that are worth one, and a save that is held up half way.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import type { Environment } from '../../src/environment/environment.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import type { GenerationEnd, GenerationRequest, LlmService } from '../../src/llm-service/llm-service.ts';

const real = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });

/** Time is what this process has computed: whether a state is worth a file does not turn on how busy the machine or its disk is. */
export const environment: Environment = { ...real, clock: { ...real.clock, monotonic: computedMs } };

function computedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Long enough that reading its state is faster by far than evaluating it, whatever else the machine does. */
export const CONTEXT_TOKENS = 700;
export const WAIT = { timeout: 120_000, interval: 20 };
export const NEVER = new AbortController().signal;

/** Conversations that share nothing, each a prompt that goes on where the last reply ended. */
export class Conversation {
  readonly affinity: string;
  readonly owner: string;
  readonly known: TokenId[];

  constructor(name: string, seed: number, owner = 'ada') {
    this.affinity = `k\n${owner}\n${name}`;
    this.owner = owner;
    this.known = Array.from({ length: CONTEXT_TOKENS }, (_, i) => (200 + ((i * 7 + seed * 131) % 1500)) as TokenId);
  }

  async turn(service: LlmService, fields: Partial<GenerationRequest> = {}): Promise<GenerationEnd> {
    const { affinity, owner } = this;
    const prompt = [...this.known, ...([300, 400, 500] as TokenId[])];
    const sampling = { temperature: 0 };
    const request = { prompt, maxTokens: 8, stop: [], sampling, affinity, owner, stream: true, ...fields };
    for await (const event of service.generate(request, NEVER)) {
      if (event.kind !== 'end') continue;
      this.known.splice(0, Number.POSITIVE_INFINITY, ...prompt, ...event.ids);
      return event;
    }
    throw new Error('no end');
  }
}

/** The file of a session's state. */
export const fileOf = (affinity: string) => `${createHash('sha256').update(affinity).digest('hex').slice(0, 32)}.kv`;

/** Sealing of this session's state waits for a reader of the pipe whose path is returned. */
export function pipeFor(affinity: string, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${fileOf(affinity)}.part`);
  expect(spawnSync('mkfifo', [path]).status).toBe(0);
  return path;
}

/** Until all of a state is in the clear in memory. */
export async function untilInTheClear(memoryFolder: string): Promise<void> {
  const plain = join(memoryFolder, 'state');
  await vi.waitFor(() => expect(statSync(plain).size).toBeGreaterThan(CONTEXT_TOKENS * 1000), WAIT);
}
