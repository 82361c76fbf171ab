// How long turns wait for what is evaluated ahead of need, where sessions come from elsewhere all the time: the chunk sizes of a node and
// costs that were measured, in calculated time. Chance decides when turns come; one seed gives one outcome.
import { expect, test } from 'vitest';
import { ChunkSize } from '../../../src/llm-service/warming/chunk-size.ts';
import { Chance } from '../../../tools/chance.ts';

/** Qwen1.5-0.5B's shape (q8_0), one thread: ids in a chunk, and milliseconds. */
const CHUNKS = [
  [1, 20],
  [4, 63],
  [16, 138],
  [64, 432],
  [256, 1_588],
] as const;
const REPLY_ID_MS = 35;
const FIRST_TEXT_MS = 520;
/** A session comes so often, of so many ids. */
const [EVERY_MS, SESSION_IDS] = [30_000, 900];
const TURNS = 2_000;

function chunkMs(tokens: number): number {
  const above = Math.max(
    1,
    CHUNKS.findIndex(([size]) => size >= tokens),
  );
  const [[lowTokens, lowMs], [highTokens, highMs]] = [CHUNKS[above - 1]!, CHUNKS[above]!];
  return lowMs + ((highMs - lowMs) * (tokens - lowTokens)) / (highTokens - lowTokens);
}

/** Turns after pauses of half to one and a half of `pauseMs`, with replies of so many ids: what they wait for, as shares of a turn. */
function waitsOf(pauseMs: number, replyIds: number) {
  const turnMs = FIRST_TEXT_MS + replyIds * REPLY_ID_MS;
  const chance = new Chance(1);
  const chunk = new ChunkSize(256);
  const waits: number[] = [];
  let [nowMs, comesMs, left, warmed, spentMs] = [0, 0, 0, 0, 0];
  for (let turn = 0; turn < TURNS; turn++) {
    const quietSinceMs = nowMs;
    const askedMs = nowMs + pauseMs / 2 + chance.below(pauseMs);
    while (nowMs < askedMs) {
      if (comesMs <= nowMs) {
        left += SESSION_IDS;
        comesMs += EVERY_MS;
      } else if (left === 0) {
        nowMs = Math.min(comesMs, askedMs);
      } else {
        const tokens = Math.min(left, chunk.tokens(nowMs - quietSinceMs));
        const ms = chunkMs(tokens);
        chunk.evaluated(tokens, ms);
        [nowMs, left, warmed, spentMs] = [nowMs + ms, left - tokens, warmed + tokens, spentMs + ms];
      }
    }
    waits.push((nowMs - askedMs) / turnMs);
    nowMs += turnMs;
    chunk.replied(replyIds - 1, (replyIds - 1) * REPLY_ID_MS);
  }
  const sorted = waits.sort((a, b) => a - b);
  return {
    median: sorted[TURNS / 2] as number,
    mean: waits.reduce((sum, wait) => sum + wait, 0) / TURNS,
    p99: sorted[0.99 * TURNS] as number,
    idsPerSecond: (1_000 * warmed) / spentMs,
  };
}

test.each([5_000, 20_000, 60_000])('turns that come every %d ms take a twentieth longer at most', (pauseMs) => {
  for (const replyIds of [64, 128]) {
    const { median, mean, p99, idsPerSecond } = waitsOf(pauseMs, replyIds);
    expect(median).toBe(0);
    expect(mean).toBeLessThan(0.01);
    expect(p99).toBeLessThan(0.05);
    // Of 161 in the largest chunks.
    expect(idsPerSecond).toBeGreaterThan(80);
  }
});
