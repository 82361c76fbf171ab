/**
 * The parts of the command line that a pipe does not reach: a terminal's keys, its paste and its Ctrl-C, as bytes on a
 * stream; and what is printed, fed with replies that try to take the terminal over.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { Command } from 'commander';
import { describe, expect, it, vi } from 'vitest';
import { TerminalInput } from '../../../src/cli/chat/chat-input.ts';
import { turnLine, turnWarning } from '../../../src/cli/chat/turn-line.ts';
import { define as defineSessions } from '../../../src/cli/commands/sessions.ts';
import { approximateBytes, localTime, printable, table } from '../../../src/cli/terminal.ts';
import type { Reply } from '../../../src/client/client.ts';
import { startTestNode } from '../../../tools/test-node.ts';

function terminal() {
  const keys = new PassThrough();
  const screen = Object.assign(new PassThrough(), { columns: 80 });
  const input = new TerminalInput(keys, screen);
  const shown = () => String(screen.read() ?? '').replaceAll(/\u001b\[\d*[A-Z]/g, '');
  /** Types, and lets the terminal see it. */
  const type = async (text: string) => {
    keys.write(text);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
  };
  return { input, type, shown };
}

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

describe('chat at a terminal', () => {
  it('takes a line at Enter, after a prompt', async () => {
    const { input, type, shown } = terminal();
    const message = input.next('> ');
    await type('hello');
    await type('\r');
    expect(await message).toBe('hello');
    expect(shown()).toContain('> hello');
  });

  it('takes pasted lines as one message', async () => {
    const { input, type } = terminal();
    const message = input.next('> ');
    await type('one\rtwo\rthree\r');
    expect(await message).toBe('one\ntwo\nthree');
  });

  it('waits for Enter when what was pasted does not end with one', async () => {
    const { input, type } = terminal();
    let settled = false;
    const message = input.next('> ').finally(() => {
      settled = true;
    });
    await type('one\rtwo');
    expect(settled).toBe(false);
    await type(' and a half\r');
    expect(await message).toBe('one\ntwo and a half');
  });

  it('keeps pasted commands apart', async () => {
    const { input, type } = terminal();
    const message = input.next('> ');
    await type('/help\r/session\r');
    expect([await message, await input.next('> ')]).toEqual(['/help', '/session']);
  });

  it('hides what is typed during a reply until the next prompt', async () => {
    const { input, type, shown } = terminal();
    await type('next que');
    expect(shown()).toBe('');
    const message = input.next('> ');
    expect(shown()).toContain('> next que');
    await type('stion\r');
    expect(await message).toBe('next question');
    await type('whole line\r');
    expect(shown()).not.toContain('whole line');
    expect(await input.next('> ')).toBe('whole line');
    expect(shown()).toContain('> whole line');
  });

  it('Ctrl-C stops a reply; at the prompt it clears the line, and an empty one ends the chat', async () => {
    const { input, type } = terminal();
    let stopped = 0;
    const release = input.onInterrupt(() => stopped++);
    await type(CTRL_C);
    expect(stopped).toBe(1);
    release();
    const first = input.next('> ');
    await type(`pasted\rhalf a thought${CTRL_C}`);
    await type('whole\r');
    expect(await first).toBe('whole');
    const last = input.next('> ');
    await type(CTRL_C);
    expect(await last).toBeUndefined();
    expect(await input.next('> ')).toBeUndefined();
    expect(stopped).toBe(1);
  });

  it('Ctrl-D ends the chat', async () => {
    const { input, type } = terminal();
    const message = input.next('> ');
    await type(CTRL_D);
    expect(await message).toBeUndefined();
  });
});

describe('what is printed', () => {
  it('cannot take the terminal over', () => {
    expect(printable('\u001b]0;title\u0007\u001b[2Jhi\u009b1m\u0000\u007f')).toBe(
      '\ufffd]0;title\ufffd\ufffd[2Jhi\ufffd1m\ufffd\ufffd',
    );
    expect(printable('a\r\nb\rc\td\n')).toBe('a\nb\nc\td\n');
    expect(printable('Zażółć 漢字 🤖 e\u0301')).toBe('Zażółć 漢字 🤖 e\u0301');
  });

  it('lines up', () => {
    const text = table(
      ['NAME', 'N'],
      [
        ['a', 5],
        ['longer', 1000],
      ],
    );
    expect(text.replaceAll(/\u001b\[\d+m/g, '').split('\n')).toEqual(['NAME    N', 'a          5', 'longer  1000']);
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [9_949, '9.9 kB'],
    [99_500, '100 kB'],
    [999_600, '1.0 MB'],
    [4.2e9, '4.2 GB'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(approximateBytes(bytes)).toBe(text);
  });

  it('shows no time where there is none', () => {
    expect(localTime(new Date('x'))).toBe('-');
  });
});

describe('the line under a reply', () => {
  const reply: Reply = {
    text: '',
    sessionId: 's',
    userId: 'u',
    turn: 3,
    contextId: 'c',
    mode: 'tokenized',
    node: 'edge-1',
    url: 'http://edge-1',
    model: 'm',
    stopType: 'eos',
    stoppingWord: '',
    replayed: false,
    arbitrated: true,
    basedOnTurn: 2,
    repairedTurns: 0,
    droppedTurns: 0,
    summarizedTurns: 0,
    retrievedTurns: [],
    layers: undefined,
    rewrittenTokens: 0,
    writeConcern: 'local',
    replicas: 1,
    waitedMs: 0,
    usage: {
      cachedTokens: 812,
      warmedTokens: 0,
      evaluatedTokens: 14,
      predictedTokens: 23,
      promptMs: 1,
      predictedMs: 400,
    },
    wire: {},
  };
  const line = (change: Partial<Reply>, nodeBefore = 'edge-1') =>
    turnLine({ ...reply, ...change }, { firstTextMs: 41, totalMs: 1440, nodeBefore });

  it('tells turn, tokens, times, speed and node', () => {
    expect(line({})).toBe(
      'turn 3 · 812 cached, 14 evaluated, 23 new · warm · first 41 ms, all 1.4 s · 58 tok/s · edge-1',
    );
    expect(line({}).length).toBeLessThan(95);
    expect(line({ writeConcern: 'replicated', replicas: 2 })).toMatch(/ · edge-1 · on 2 nodes$/);
  });

  it('tells in words what the turn found where it was answered', () => {
    const { usage } = reply;
    const cold = { ...usage, cachedTokens: 4, evaluatedTokens: 822 };
    const half = { ...usage, cachedTokens: 300, warmedTokens: 300, evaluatedTokens: 526 };
    expect(line({ usage: cold })).toContain('· cold ·');
    expect(line({ usage: cold }, 'edge-2')).toContain('· moved, cold ·');
    expect(line({}, 'edge-2')).toContain('· moved, warm ·');
    expect(line({ usage: half }, 'edge-2')).toContain('· moved, warm ·');
    expect(line({ turn: 1, usage: cold })).not.toMatch(/warm|cold/);
    expect(line({ replayed: true }, 'edge-2')).not.toMatch(/warm|cold|moved/);
  });

  it('tells what is out of the ordinary', () => {
    expect(line({ replayed: true })).toBe('turn 3 · answered from the record · first 41 ms, all 1.4 s · edge-1');
    expect(line({ waitedMs: 250, stopType: 'limit' })).toMatch(
      /· waited 250 ms for the turn before · cut at its longest length ·/,
    );
    expect(line({ turn: 1, waitedMs: 250 })).not.toContain('waited');
    expect(turnWarning(reply)).toBeUndefined();
    expect(turnWarning({ ...reply, basedOnTurn: 1 })).toContain('up to turn 1 only');
    expect(turnWarning({ ...reply, droppedTurns: 2 })).toContain('first 2 turns were left out');
  });
});

it('names the session that could not be deleted', async () => {
  const node = await startTestNode();
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    await node.turn({ prompt: 'hi', session_id: 'there' });
    const run = (...ids: string[]) => {
      const command = new Command();
      defineSessions(command);
      return command.parseAsync(['delete', '--yes', ...ids, '--url', node.url], { from: 'user' });
    };
    await expect(run('there', 'missing')).rejects.toMatchObject({
      code: 'session_not_found',
      status: 404,
      message: expect.stringMatching(/^missing: /),
    });
    await expect(run('there')).rejects.toMatchObject({ message: expect.stringMatching(/^there: /) });
  } finally {
    write.mockRestore();
    await node.close();
  }
});

it('the modules of the chat do not import each other in a circle', () => {
  const folder = new URL('../../../src/cli/chat/', import.meta.url);
  const imports = new Map(
    readdirSync(folder).map((file) => [
      file,
      [...readFileSync(new URL(file, folder), 'utf8').matchAll(/from '\.\/([^']+)'/g)].map(
        (match) => match[1] as string,
      ),
    ]),
  );
  const reaches = (file: string, seen = new Set<string>()): Set<string> => {
    for (const next of imports.get(file) ?? []) if (!seen.has(next)) reaches(next, seen.add(next));
    return seen;
  };
  expect([...imports.values()].flat()).toContain('slash-commands.ts');
  expect([...imports.keys()].filter((file) => reaches(file).has(file))).toEqual([]);
});
