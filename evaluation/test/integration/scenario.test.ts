/**
 * Plays scenarios as users do, with the built command line: at nodes that run, at one node and at several that it starts
 * for itself (with a real nats-server each), with wrong nodes, wrong models and wrong files. Interrupts and kills it in the
 * middle, and then looks for rows that are missing and processes and folders that are left.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { CLI_PATH, type NodeProcess, startNodeProcess, temporaryFolder } from '../../../tools/node-process.ts';
import { findProgram } from '../../../tools/processes.ts';
import { natsPrograms } from '../../../tools/real-servers/nats-programs.ts';
import { type RecordedRun, readRun } from '../../src/scenario/read-run.ts';
import { type CliRun, runCli, startCli } from '../support/run-cli.ts';

const SCENARIOS = fileURLToPath(new URL('../../../scenarios', import.meta.url));
/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const ROBOT = join(SCENARIOS, 'robot.yaml');
const SCRIPTED = ['--llm', 'scripted', '--any-model'];

const folder = temporaryFolder();
let node: NodeProcess;
let natsProgram: string;
let runs = 0;
/** Each test's own: results, and the temporary files of what it starts. */
let results: string;
let scratch: string;
beforeAll(async () => {
  node = await startNodeProcess(['--llm', 'scripted', '--store', 'memory']);
  natsProgram = (await natsPrograms())[0]?.path as string;
});
beforeEach(() => {
  runs++;
  results = join(folder.path, `results-${runs}`);
  scratch = join(folder.path, `scratch-${runs}`);
  mkdirSync(scratch);
});
afterAll(async () => {
  await node?.process.stop();
  folder.remove();
});

const options = () => ({ cwd: folder.path, env: { TMPDIR: scratch } });
const play = (...args: string[]): Promise<CliRun> => runCli(['scenario', 'run', ...args, '-o', results], options());

function scenarioFile(text: string): string {
  const path = join(folder.path, `scenario-${runs}.yaml`);
  writeFileSync(path, text);
  return path;
}

function recorded(): RecordedRun {
  const files = readdirSync(results).filter((name) => name.endsWith('.ndjson'));
  expect(files).toHaveLength(1);
  return readRun(join(results, files[0] as string));
}

/** Only what a run is to leave behind: its rows. */
function nothingLeft(): void {
  expect(readdirSync(scratch)).toEqual([]);
}

describe('at nodes of its own', () => {
  it('a scenario runs without any preparation, and says what came of it', async () => {
    const { code, stdout, stderr } = await play(ROBOT, '--mode', 'tokenized');
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^robot, tokenized, model demo\n/);
    expect(stdout).toMatch(/^TURN {2}NODE .* RESPONSE .* REPLY$/m);
    expect(stdout).toMatch(/^ +9 {2}edge-1 /m);
    expect(stdout).toMatch(/^ all /m);
    expect(stdout).toMatch(/^complete: 9 turns\n {2}\S+\.csv\n {2}\S+\.ndjson\n$/m);
    expect(code).toBe(0);
    const { start, turns, complete } = recorded();
    expect(complete).toBe(true);
    expect(start).toMatchObject({ seed: 123, temperature: 0, max_tokens: 128, model: 'demo' });
    expect(turns).toHaveLength(9);
    // What is kept exactly is found again, whole: nothing but the new message is evaluated.
    for (const [index, row] of turns.entries()) {
      const before = turns[index - 1];
      if (before === undefined) continue;
      expect(row.cached_tokens).toBeGreaterThan((before.prompt_tokens ?? 0) + (before.reply_tokens ?? 0) - 3);
    }
    nothingLeft();
  });

  it.each(['tokenized', 'raw', 'client-side'] as const)(
    'a roaming session is whole at every node (%s)',
    async (mode) => {
      const file = join(SCENARIOS, 'robot-roaming.yaml');
      const { code, stdout, stderr } = await play(file, '--mode', mode, ...SCRIPTED, '--nats-program', natsProgram);
      expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
      const { start, turns } = recorded();
      expect(start.nodes.map(({ node: id }) => id)).toEqual(['edge-1', 'edge-2']);
      expect(turns.map(({ node_id: id, moved }) => `${moved ? '→' : ''}${id.at(-1)}`).join(' ')).toBe(
        '1 1 →2 2 →1 1 →2 2 2',
      );
      if (mode !== 'client-side')
        expect(turns.map(({ based_on_turn: turn }) => turn)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      nothingLeft();
    },
  );

  it('many users who think are played at the same time', async () => {
    const file = scenarioFile('users: 4\nrepeats: 2\nnodes: [a, b]\nthink_ms: [1, 20]\nmessages: [one, two]\n');
    const { code, stdout } = await play(file, '--mode', 'raw', ...SCRIPTED, '--users', '3');
    expect(stdout).toContain('3 users, 2 repeats: medians');
    expect(code).toBe(0);
    expect(recorded().turns).toHaveLength(12);
  });

  it('what keeps a node from starting is told, and nothing is left', async () => {
    const { code, stderr } = await play(ROBOT, '--mode', 'raw', '--model', '/nowhere/model.gguf');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^discedge: .*\/nowhere\/model\.gguf/);
    expect(existsSync(results)).toBe(false);
    nothingLeft();
    const missing = await play(
      join(SCENARIOS, 'robot-roaming.yaml'),
      '-m',
      'raw',
      ...SCRIPTED,
      '--nats-program',
      '/no/x',
    );
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('/no/x');
    nothingLeft();
  });
});

describe('at nodes that run', () => {
  it('the nodes given are used in the order of the scenario', async () => {
    const { code } = await play(ROBOT, '--mode', 'raw', '--node', `${node.url}/`, '--any-model');
    expect(code).toBe(0);
    expect(recorded().turns.map(({ node_url: url }) => url)).toEqual(new Array(9).fill(node.url));
  });

  it("the prototype's file says itself where its nodes are", async () => {
    const place = (message: string) =>
      `  - name: here\n    api_url: ${node.url}/completion\n    messages: [${message}]\n`;
    const file = scenarioFile(`name: proto\nmodel_name: scripted\nuser_id: u\nlocations:\n${place('a')}${place('b')}`);
    expect((await play(file, '--mode', 'tokenized')).code).toBe(0);
    expect(recorded().turns.map(({ node_url: url, moved }) => [url, moved])).toEqual([
      [node.url, false],
      [node.url, false],
    ]);
  });

  it.each<[string, (url: string) => string[], RegExp]>([
    [
      'another model',
      (url) => [ROBOT, '-m', 'raw', '-n', url],
      /^discedge: node test \(http\S+\) serves scripted, the scenario names demo: use a node with that model, or --any-model\n$/,
    ],
    [
      'too few nodes',
      (url) => [join(SCENARIOS, 'robot-roaming.yaml'), '-m', 'raw', '-n', url],
      /^discedge: the scenario plays at 2 nodes \(edge-1, edge-2\), 1 given: name each with --node URL, or none/,
    ],
    [
      'nobody there',
      () => [ROBOT, '-m', 'raw', '-n', 'http://127.0.0.1:1'],
      /^discedge: http:\/\/127\.0\.0\.1:1 cannot be reached\ndiscedge: start a node with "discedge serve"/,
    ],
    ['no URL', () => [ROBOT, '-m', 'raw', '-n', 'edge-1'], /^discedge: a node URL must look like http:\/\/HOST:PORT/],
    ['no such file', () => ['/nowhere.yaml', '-m', 'raw'], /^discedge: \/nowhere\.yaml cannot be read: no such file\n/],
    ['too many users', () => [ROBOT, '-m', 'raw', '--users', '1025'], /It must be a whole number from 1 to 1024\./],
    ['no mode', () => [ROBOT], /^discedge: say which context mode to play it in: --mode raw\|tokenized\|client-side\n/],
    [
      'an unknown mode',
      () => [ROBOT, '-m', 'cooked'],
      /argument 'cooked' is invalid. Allowed choices are raw, tokenized/,
    ],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await play(...args(node.url));
    expect(stderr).toMatch(message);
    expect(stdout).toBe('');
    expect(code).not.toBe(0);
    expect(existsSync(results)).toBe(false);
  });

  it('every mistake of a file is listed', async () => {
    const { code, stderr } = await play(scenarioFile('mesages: [a]\nusers: 0\n'), '-m', 'raw');
    expect(stderr.split('\n').map((line) => line.replace(/\S*scenario-\d+/, 'FILE'))).toEqual([
      'discedge: FILE.yaml:1: unknown key "mesages": did you mean "messages"?',
      'discedge: FILE.yaml:2: users must be a whole number of users from 1 to 1024',
      '',
    ]);
    expect(code).toBe(1);
  });
});

describe('cut short', () => {
  const patient = () => scenarioFile('think_ms: 3600000\nmessages: [one, two]\n');
  const firstTurn = () =>
    vi.waitFor(
      () => {
        const [file] = readdirSync(results).filter((name) => name.endsWith('.ndjson'));
        const text = readFileSync(join(results, file as string), 'utf8');
        expect(text).toContain('"kind":"turn"');
      },
      { timeout: WAIT_MS, interval: 50 },
    );

  it('Ctrl-C keeps the rows, marks them incomplete and stops the nodes in good order', async () => {
    const file = scenarioFile('think_ms: 3600000\nnodes: [a, b]\nroute: round-robin\nmessages: [one, two]\n');
    const args = [
      'scenario',
      'run',
      file,
      '-m',
      'tokenized',
      ...SCRIPTED,
      '--nats-program',
      natsProgram,
      '-o',
      results,
    ];
    const running = startCli(args, options());
    await firstTurn();
    running.interrupt();
    const { code, stdout, stderr } = await running.done;
    expect(stderr).toBe('discedge: stopping (SIGINT); once more to stop at once\n');
    expect(stdout).toContain('incomplete (interrupted): 1 of 2 turns answered, 0 failed');
    expect(code).toBe(1);
    expect(recorded()).toMatchObject({ complete: false, turns: [{ turn: 1 }], end: { reason: 'interrupted' } });
    nothingLeft();
  });

  it('Ctrl-C while nodes start leaves nothing', async () => {
    const running = startCli(['scenario', 'run', ROBOT, '-m', 'tokenized', '-o', results], options());
    await vi.waitFor(() => expect(readdirSync(scratch)).not.toEqual([]), { timeout: WAIT_MS, interval: 10 });
    running.interrupt();
    const { code, stdout, stderr } = await running.done;
    expect({ stdout, stderr }).toEqual({
      stdout: '',
      stderr: 'discedge: stopping (SIGINT); once more to stop at once\n',
    });
    expect(code).toBe(1);
    nothingLeft();
  });

  it.skipIf(process.platform !== 'linux')(
    'a kill leaves whole rows, and no nodes (Linux: looks for them in /proc)',
    async () => {
      const running = startCli(
        ['scenario', 'run', patient(), '-m', 'tokenized', ...SCRIPTED, '-o', results],
        options(),
      );
      await firstTurn();
      const { pid } = running.child;
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      expect(children).toHaveLength(1);
      running.child.kill('SIGKILL');
      await running.done;
      expect(recorded()).toMatchObject({ complete: false, turns: [{ turn: 1 }], end: undefined });
      await vi.waitFor(() => expect(children.filter((child) => existsSync(`/proc/${child}`))).toEqual([]), {
        timeout: WAIT_MS,
        interval: 50,
      });
    },
  );
});

describe('on a terminal', () => {
  const script = findProgram('script');
  if (script === undefined)
    process.stderr.write('scenario.test: no "script" to make a terminal with: tests are left out\n');

  /** Runs a command line on a terminal of its own; `answer` is typed when the question is there. */
  const onTerminal = (args: readonly string[], answer?: string): Promise<string> =>
    new Promise((resolve, reject) => {
      // A terminal without a size would be wrapped at every character.
      const words = `stty cols 120 rows 40; ${[process.execPath, CLI_PATH, ...args].map((word) => `'${word}'`).join(' ')}`;
      const child = spawn(script as string, ['-qec', words, '/dev/null'], {
        cwd: folder.path,
        env: { ...process.env, TMPDIR: scratch },
      });
      let text = '';
      let isAnswered = false;
      child.stdout.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        if (answer === undefined || isAnswered || !text.includes('Context mode')) return;
        isAnswered = true;
        child.stdin.write(answer);
      });
      child.on('error', reject);
      child.on('close', () => resolve(text));
    });

  it.skipIf(script === undefined)('the mode is asked for, and every turn is shown as it ends', async () => {
    const text = await onTerminal(
      ['scenario', 'run', ROBOT, '-n', node.url, '--any-model', '-o', results],
      '\u001b[A\r',
    );
    expect(text).toContain('the nodes keep the exact token ids');
    expect(text).toMatch(
      /turn 9 · edge-1 · first \d+ ms, all \d+ ms · \d+ cached, \d+ evaluated, \d+ new · \d+ B up, /,
    );
    expect(recorded()).toMatchObject({ complete: true, start: { mode: 'raw' } });
  });

  it.skipIf(script === undefined)('nothing is played when the question is refused', async () => {
    await onTerminal(['scenario', 'run', ROBOT, '-n', node.url, '--any-model', '-o', results], '\u0003');
    expect(existsSync(results)).toBe(false);
  });
});
