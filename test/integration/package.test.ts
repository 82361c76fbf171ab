// Packs the package as npm would publish it and serves from an empty folder with nothing but what is in it: a file that
// `files` forgets, or a path that only works in the repository, shows here.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { NodeUnderTest } from '../../tools/test-node.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const folder = temporaryFolder();
afterAll(() => folder.remove());

it('the packed package serves from an empty folder', async () => {
  const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder.path], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const [{ filename, size }] = JSON.parse(packed);
  expect(size).toBeLessThan(12 * 1024 * 1024);
  execFileSync('tar', ['-xzf', `${folder.path}/${filename}`, '-C', folder.path]);
  expect(readdirSync(`${folder.path}/package`).sort()).toEqual(
    expect.arrayContaining(['LICENSE', 'README.md', 'dist', 'models', 'package.json']),
  );
  symlinkSync(`${ROOT}/node_modules`, `${folder.path}/package/node_modules`);

  const empty = `${folder.path}/empty`;
  mkdirSync(empty);
  const args = [`${folder.path}/package/dist/cli/main.js`, 'serve', '--listen', '127.0.0.1:0'];
  const process = await startProcess({
    name: 'packed discedge',
    command: globalThis.process.execPath,
    args,
    cwd: empty,
  });
  try {
    const [, url] = await process.waitForLine(/^ *API +(http:\/\/127\.0\.0\.1:\d+)/);
    const node = new NodeUnderTest(url as string);
    const { session_id } = await node.turn({ prompt: 'My name is Zorvik.', temperature: 0 });
    expect(await node.turn({ prompt: 'What is my name?', session_id, turn: 2, temperature: 0 })).toMatchObject({
      content: 'Your name is Zorvik.',
    });
    expect(readdirSync(empty)).toEqual(['.discedge']);
  } finally {
    await process.stop();
  }
});
