// Tries to have what is wrong with one of many sessions looked for in all of it, which may be millions of turns.
import { expect, it } from 'vitest';
import { readImport } from '../../../src/http/routes/session-import.ts';

const TURNS = 100_000;
const turn = { context_id: 'a', record: 'AAAA' };
const session = (parts: object) => ({ keygroup: 'k', session_id: 's', turns: [turn], ...parts });

/** A list of turns that counts how many of them are looked at. */
function watched(list: unknown[]): { readonly list: unknown[]; readonly looks: () => number } {
  let looks = 0;
  const get = (target: unknown[], name: string | symbol) => {
    if (typeof name === 'string' && /^\d+$/.test(name)) looks++;
    return Reflect.get(target, name);
  };
  return { list: new Proxy(list, { get }), looks: () => looks };
}

it('says what is wrong, and where', () => {
  const fault = (value: unknown) => {
    try {
      return readImport(value, 'sessions[3]').session_id;
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect([session({}), session({ branches: [{ turns: [turn] }] })].map(fault)).toEqual(['s', 's']);
  const wrong = [
    ...[
      undefined,
      null,
      7,
      [turn],
      {},
      session({ session_id: 7 }),
      session({ turns: [turn, {}] }),
      session({ turns: 7 }),
    ],
    ...[session({ branches: 7 }), session({ branches: [7] }), session({ branches: [{ turns: [turn, 7] }] })],
    session({ turns: [...Array.from({ length: 1_000 }, () => turn), 7] }),
  ];
  expect(wrong.map(fault)).toMatchInlineSnapshot(`
    [
      "sessions[3] must be object",
      "sessions[3] must be object",
      "sessions[3] must be object",
      "sessions[3] must be object",
      "sessions[3]/keygroup must be string",
      "sessions[3]/session_id must be string",
      "sessions[3]/turns/1 must have required properties context_id, record",
      "sessions[3]/turns must be array",
      "sessions[3]/branches must be array",
      "sessions[3]/branches/0/turns must be array",
      "sessions[3]/branches/0/turns/1 must be object",
      "sessions[3] is malformed",
    ]
  `);
});

it.each([
  ['turns', (turns: unknown[]) => session({ turns })],
  ['turns of a branch', (turns: unknown[]) => session({ branches: [{ turns }] })],
  ['branches', (branches: unknown[]) => session({ branches })],
  ['turns beside what is wrong', (turns: unknown[]) => session({ session_id: 7, turns })],
])('looks at few of many %s', (_what, sessionWith) => {
  const { list, looks } = watched(Array.from({ length: TURNS }, () => ({})));
  expect(() => readImport(sessionWith(list), 'sessions[0]')).toThrow('sessions[0]');
  expect(looks()).toBeLessThan(1_000);
});
