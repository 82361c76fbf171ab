// Replies that repeat the control token of their family's calls: reading them stays linear, and their text stays where it was.
import { describe, expect, test } from 'vitest';
import { ReplyReading } from '../../../src/context-manager/turn/reply/reply-reader.ts';
import type { TokenSequence } from '../../../src/domain/token-sequence.ts';
import { FAMILIES, type TemplateFamily } from '../../support/chat-templates/families.ts';
import { composedModel } from '../../support/composed-session.ts';

const MARK = '[TOOL_CALLS]';
const family = FAMILIES.find(({ name }) => name === 'mistral-nemo') as TemplateFamily;
const { tokenizer, template, vocabulary } = await composedModel(family);

/** Reads a reply, so many ids at a time; `readIds`: of how many ids it asked for the text meanwhile. */
async function readReply(reply: string, atOnce: number) {
  let readIds = 0;
  const counted = {
    ...vocabulary,
    // As SentencePiece's vocabularies do: the space that the first piece begins with is not shown.
    async detokenize(ids: TokenSequence, options?: { readonly special: boolean }) {
      readIds += ids.length;
      const text = await vocabulary.detokenize(ids, options);
      const [first] = ids;
      return first === undefined || tokenizer.isControl(first) ? text : text.replace(/^ /, '');
    },
  };
  let calls = 0;
  const reader = await new ReplyReading(counted, template).reader({
    prompt: [],
    tools: new Set(['time']),
    newCallId: () => `call${calls++}`,
  });
  const ids = await tokenizer.tokenize(reply, { parseSpecial: true });
  const before = readIds;
  for (let from = 0; from < ids.length; from += atOnce) {
    const some = ids.slice(from, from + atOnce);
    await reader.push({ text: await vocabulary.detokenize(some), ids: some });
  }
  readIds -= before;
  return { ids, readIds, ...(await reader.end(ids)) };
}

describe.each([1, 100_000])('%i ids at a time', (atOnce) => {
  test.each([
    ['nothing between them', MARK],
    ['text between them', `${MARK} and so on `],
  ])('a reply of many marks, %s, is not read anew for each', async (_, repeated) => {
    const reply = repeated.repeat(500);
    const { ids, readIds, parts } = await readReply(reply, atOnce);
    expect(parts).toEqual([{ type: 'text', text: reply }]);
    expect(readIds).toBeLessThanOrEqual(3 * ids.length);
  });

  test('a call behind other marks has its own ids', async () => {
    const before = `So: ${MARK} no ${MARK} hm.`;
    const call = `${MARK}[{"name": "time", "arguments": {"zone": "CET"}, "id": "call00000"}]`;
    const { ids, parts, calls } = await readReply(`${before}${call}</s>`, atOnce);
    expect(parts).toMatchObject([
      { type: 'text', text: before },
      { type: 'tool-call', name: 'time' },
    ]);
    const marked = calls.map(({ start, length }) => tokenizer.text(ids.slice(start, start + length)));
    expect(marked).toEqual([call]);
  });
});
