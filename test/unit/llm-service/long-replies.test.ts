// Takes long replies apart as they come, four characters at a time: long calls, and what a model may write that is led to write
// calls that are none. The work has to grow with the reply, not with its square: these would not end in time.
import { describe, expect, it } from 'vitest';
import { ReplyParser, type ReplySyntax } from '../../../src/llm-service/chat-template/replies/reply-parser.ts';

const CALLS = {
  form: 'object',
  opener: '<call>',
  closer: '</call>',
  nameKey: 'name',
  argumentsKey: 'arguments',
} as const;
const SYNTAX: ReplySyntax = { thinking: { start: '<think>', end: '</think>' }, answer: undefined, calls: CALLS };

/** The parts, with the text of each put together. */
function read(reply: string, chars = 4) {
  const parser = new ReplyParser(SYNTAX, { isTool: (name) => name === 'write', isThinking: false });
  const parts: { type: string; said: string }[] = [];
  const deltas = [];
  for (let at = 0; at < reply.length; at += chars) deltas.push(...parser.push(reply.slice(at, at + chars)));
  for (const delta of [...deltas, ...parser.end()]) {
    const before = parts[delta.index]?.said ?? '';
    const said = delta.type === 'tool-call' ? delta.arguments : delta.text;
    parts[delta.index] = { type: delta.type, said: before + said };
  }
  return parts;
}

describe('a long reply', () => {
  it('of one call has its arguments as they were written', () => {
    const given = `{"text": "${'a \\" quoted } word, '.repeat(10_000)}"}`;
    const reply = `<call>{"name": "write", "arguments": ${given}}</call>`;
    expect(read(reply)).toEqual([{ type: 'tool-call', said: given }]);
  });

  it.each([
    ['a call that only begins', `<call>${' '.repeat(200_000)}`],
    ['a call that is not closed', `<call>{"name": "write", "arguments": {}}${'\n'.repeat(200_000)}`],
    ['white space', `and then${' \n'.repeat(60_000)}nothing`],
    ['calls without an end', '<call>{"name'.repeat(10_000)],
    ['calls of no tool', '<call>{"name": "read", "arguments": {}}</call>'.repeat(3_000)],
  ])('of %s is read to its end', (_what, reply) => {
    const parts = read(reply);
    expect(parts).toEqual(read(reply, reply.length));
  });
});
