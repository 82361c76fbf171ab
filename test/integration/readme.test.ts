// Does what the README says, with nothing but the README: its curl lines and its client snippet against a node started as
// it says, its npm scripts, its links. A README that lies is the first thing a new user meets.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const README = readFileSync(`${ROOT}/README.md`, 'utf8');
const DOCUMENTED_URL = 'http://127.0.0.1:8081';
const run = promisify(execFile);

let node: NodeProcess;
beforeAll(async () => {
  node = await startNodeProcess(['--store', 'memory']);
});
const folder = temporaryFolder();
afterAll(async () => {
  await node.process.stop();
  folder.remove();
});

const blocks = (language: string) =>
  [...README.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1] as string);

it('the curl lines give the answer that is printed below them', async () => {
  const lines =
    blocks('sh')
      .find((block) => block.includes('curl'))
      ?.replaceAll('\\\n', ' ')
      .trim()
      .split('\n') ?? [];
  expect(lines).toHaveLength(2);
  const replies = [];
  for (const line of lines) {
    const { stdout } = await run('bash', ['-c', `${line.replace(DOCUMENTED_URL, node.url)} --silent`]);
    replies.push(JSON.parse(stdout));
  }
  expect(replies[1].content).toBe('Your name is Ada.');
  expect(README).toContain(`\`${replies[1].content}\``);
});

it('the client snippet runs as it stands', async () => {
  const [snippet] = blocks('ts');
  // Beside the package, so that `discedge/client` resolves as it does for a user of it.
  mkdirSync(join(folder.path, 'node_modules'));
  symlinkSync(ROOT, join(folder.path, 'node_modules/discedge'));
  const file = join(folder.path, 'readme-snippet.mjs');
  writeFileSync(file, (snippet as string).replace(DOCUMENTED_URL, node.url));
  const { stdout } = await run(process.execPath, [file]);
  expect(stdout).toContain('Ada');
});

it('the OpenAI snippet prints what it says, its two nodes being one', async () => {
  const [snippet] = blocks('js') as [string];
  // Here, so that `openai` is found.
  const file = join(ROOT, '.cache', `readme-openai-${process.pid}.mjs`);
  const { port } = new URL(node.url);
  writeFileSync(file, snippet.replaceAll(/at\(80\d\d\)/g, `at(${port})`));
  try {
    const { stdout } = await run(process.execPath, [file]);
    expect(stdout.trim()).toBe(/\/\/ (.*)$/m.exec(snippet)?.[1]);
  } finally {
    rmSync(file);
  }
});

it('every npm script, command and file it names exists', async () => {
  const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8'));
  for (const [, script] of README.matchAll(/npm (?:run )?([a-z:]+)/g)) {
    if (!['ci', 'pack', 'install'].includes(script as string)) expect(Object.keys(scripts)).toContain(script);
  }
  const { stdout: help } = await run(process.execPath, [`${ROOT}/dist/cli/main.js`, '--help']);
  for (const [, command] of README.matchAll(/`?npx discedge ([a-z]+)/g))
    expect(help).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  for (const [, link] of README.matchAll(/\]\((?!https?:)([^)#]+)\)/g))
    expect(existsSync(`${ROOT}/${link}`), link).toBe(true);
});
