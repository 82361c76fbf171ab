/** Plays the demo as a user does, and tries to catch it forgetting across nodes, or leaving something behind. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('npm run demo remembers across nodes, also past the death of one, and cleans up', async () => {
  const temporary = mkdtempSync(join(tmpdir(), 'discedge-test-'));
  try {
    const demo = fileURLToPath(new URL('../../examples/roaming-demo/demo.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', demo], {
      env: { ...process.env, TMPDIR: temporary, NO_COLOR: '1', FORCE_COLOR: undefined },
    });
    const answers = [...stdout.matchAll(/^ {14}node: +(.*)$/gm)].map((match) => match[1]);
    expect(answers.slice(2)).toEqual([
      'Your name is Ada.',
      'Updated: the next waypoint is dock 9.',
      'The next waypoint is dock 9.',
      'Got it, the code word is pineapple.',
      'The code word is pineapple.',
      'Your name is Ada.',
    ]);
    expect(stdout).toMatch(/kill -9 station[\s\S]*station is back/);
    expect(stdout).toMatch(/8 turns, 3 nodes, one conversation; [1-9][\d,]+ B/);
    expect(readdirSync(temporary).filter((name) => name.startsWith('discedge'))).toEqual([]);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
});
