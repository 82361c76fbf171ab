import type { TokenId } from '../../src/domain/token-sequence.ts';
import { JinjaTemplate } from '../../src/llm-service/jinja/template.ts';
import type { Json, NodeUnderTest } from '../../tools/test-node.ts';
import { pythonHasJinja, renderOneInPython } from './jinja/python-reference.ts';

/** A message as it was said: its text, and the exact ids of that text or of the end of it. */
export interface SaidMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly text: string;
  /** Texts that may stand for the message, each with its exact ids, the longest first. */
  readonly forms: readonly { readonly text: string; readonly ids: readonly TokenId[] }[];
}

export interface WholeTemplate {
  readonly source: string;
  readonly bosText: string;
  readonly eosText: string;
}

/**
 * The ids of a whole conversation: rendered by Python's Jinja2 where it is there, contents and all, and cut at the contents,
 * whose ids are given; only what is between them is tokenized, by the node.
 */
export async function wholeRendering(
  template: WholeTemplate,
  messages: readonly SaidMessage[],
  tokenize: (text: string) => Promise<readonly TokenId[]>,
): Promise<TokenId[]> {
  const text = await rendered(template, messages);
  const ids: TokenId[] = [];
  let from = 0;
  const inOrder = messages
    .map((message) => {
      const form = message.forms.find((candidate) => text.includes(candidate.text));
      if (form === undefined) throw new Error(`"${message.text}" is not in the rendering`);
      return { ...form, at: text.indexOf(form.text) };
    })
    .sort((a, b) => a.at - b.at);
  for (const { text: content, ids: own, at } of inOrder) {
    ids.push(...(await tokenize(text.slice(from, at))), ...own);
    from = at + content.length;
  }
  return [...ids, ...(await tokenize(text.slice(from)))];
}

async function rendered(
  { source, bosText, eosText }: WholeTemplate,
  messages: readonly SaidMessage[],
): Promise<string> {
  const variables = {
    messages: messages.map(({ role, text }) => ({ role, content: text })),
    ...{ bos_token: bosText, eos_token: eosText, add_generation_prompt: true },
  };
  if (!pythonHasJinja) return new JinjaTemplate(source).render(variables);
  const text = await renderOneInPython({ template: source, variables, now: 0 });
  if (text === null) throw new Error('the template refuses the conversation');
  return text;
}

/** Ids as a node's tokenizer has them. */
export async function idsAt(node: NodeUnderTest, content: string, parseSpecial: boolean): Promise<TokenId[]> {
  const { body } = await node.post('/tokenize', { content, parse_special: parseSpecial });
  return (body as Json).tokens;
}

/** How many of the first ids make up `text`. */
export async function idsOfText(node: NodeUnderTest, ids: readonly TokenId[], text: string): Promise<number> {
  for (let count = 0; count <= ids.length; count++) {
    const { body } = await node.post('/detokenize', { tokens: ids.slice(0, count) });
    if ((body as Json).content === text) return count;
  }
  throw new Error(`no ids end with "${text}"`);
}
