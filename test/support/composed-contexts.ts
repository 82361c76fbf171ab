import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commonPrefixLength, type TokenId } from '../../src/domain/token-sequence.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import type { InProcessNode } from '../../tools/test-node.ts';
import { THINKING_STYLES } from './thinking-styles.ts';
import { idsAt, idsOfText, type SaidMessage, type WholeTemplate, wholeRendering } from './whole-rendering.ts';

const TURNS = 6;
/** Of the nodes' model. */
export const WINDOW = 2_048;
/** The opener of a message, and a system message there. */
const BEFORE_QUESTION_MAX = 20;
const family = (name: string) =>
  readFileSync(fileURLToPath(new URL(`chat-templates/${name}.jinja`, import.meta.url)), 'utf8');

const TEMPLATES = {
  append: family('qwen2-5'),
  'follow, by dropping reasoning': family('qwen3'),
  'follow, by keeping the last reasoning': family('lfm2-5'),
  'follow, by an empty think block': THINKING_STYLES['writes an empty think block that vanishes']?.source as string,
  'rewrite, of the system message': `{%- set opens = messages[0].role == 'system' -%}
{%- for m in messages if m.role != 'system' -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if opens and loop.last -%}{{- messages[0].content + '\\n\\n' -}}{%- endif -%}
{{- m.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`,
};
type Template = keyof typeof TEMPLATES;

interface Case {
  readonly template: Template;
  readonly thinks: boolean;
  readonly system: boolean;
  /** Of how many exchanges, the newest, ids are evaluated again. */
  readonly rewrites: number;
}

const CASES: readonly Case[] = [
  { template: 'append', thinks: false, system: true, rewrites: 0 },
  { template: 'append', thinks: true, system: false, rewrites: 0 },
  { template: 'follow, by dropping reasoning', thinks: false, system: false, rewrites: 0 },
  { template: 'follow, by dropping reasoning', thinks: true, system: true, rewrites: 1 },
  { template: 'follow, by keeping the last reasoning', thinks: true, system: false, rewrites: 2 },
  { template: 'follow, by an empty think block', thinks: false, system: false, rewrites: 1 },
  { template: 'rewrite, of the system message', thinks: false, system: false, rewrites: 0 },
  { template: 'rewrite, of the system message', thinks: false, system: true, rewrites: 1 },
];

/** Where the turns are taken. */
export interface ComposingNode {
  readonly node: InProcessNode;
  /** The last prompt that was evaluated, where it can be seen. */
  lastPrompt(): readonly number[] | undefined;
}

/** Six turns under each template, as each of its cases has them, streamed and not, at nodes that `start` starts with it. */
export function holdComposedContexts(start: (chatTemplateFile: string) => Promise<ComposingNode>): void {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());
  describe.each(Object.keys(TEMPLATES) as Template[])('%s', (name) => {
    let started: ComposingNode;
    let template: WholeTemplate;
    beforeAll(async () => {
      const file = join(folder.path, 'template.jinja');
      writeFileSync(file, TEMPLATES[name]);
      started = await start(file);
      const { bos_token: bosText, eos_token: eosText } = (await started.node.get('/props')).body;
      template = { source: TEMPLATES[name], bosText, eosText };
    });
    afterAll(() => started?.node.close());

    const cases = CASES.filter(({ template }) => template === name);
    const ways = cases.flatMap((each) => [true, false].map((stream) => ({ ...each, stream })));
    test.each(ways)(
      'thinking $thinks, system $system, streamed $stream',
      async ({ thinks, system, rewrites, stream }) => {
        const conversation = new Conversation(started.node, template);
        const session = { session_id: `${thinks}-${system}-${stream}`, stream };
        for (let turn = 1; turn <= TURNS; turn++) {
          const opening = system && turn === 1 ? { system: 'Be brief.' } : {};
          const reply = await conversation.turn({ ...session, ...opening, turn }, thinks);
          const { prompt, last } = conversation;
          expect(reply.tokens_evaluated).toBe(prompt.length);
          const seen = started.lastPrompt();
          if (seen !== undefined) expect(seen).toEqual(prompt);
          const kept = commonPrefixLength(last, prompt);
          expect(reply.tokens_rewritten).toBe(last.length - kept);
          if (turn > 1 && rewrites === 0) expect(kept).toBe(last.length);
          if (turn > 2 && rewrites > 0) expect(reply.tokens_rewritten).toBeGreaterThan(0);
          if (turn > rewrites) expect(reply.tokens_rewritten).toBeLessThanOrEqual(conversation.sizeOfNewest(rewrites));
          const { prompt_n: evaluated, cache_n: cached } = reply.timings;
          expect(evaluated + cached).toBe(prompt.length);
          // The last id of a reply was written and not evaluated.
          if (turn > 1) expect(evaluated).toBeLessThanOrEqual(prompt.length - kept + 1);
        }
      },
    );
  });
}

/** What a client says, and what the whole of it is under the template. */
export class Conversation {
  readonly #node: InProcessNode;
  readonly #template: WholeTemplate;
  readonly #said: SaidMessage[] = [];
  #prompt: readonly TokenId[] = [];
  /** The prompt and reply before. */
  last: readonly TokenId[] = [];
  #reply: readonly TokenId[] = [];

  constructor(node: InProcessNode, template: WholeTemplate) {
    this.#node = node;
    this.#template = template;
  }

  /** The whole rendering that the last turn was to be answered from. */
  get prompt(): readonly TokenId[] {
    return this.#prompt;
  }

  /** Ids of the last so many exchanges before, with what stands before the first's question. */
  sizeOfNewest(count: number): number {
    if (count === 0) return 0;
    const [question] = this.#said.filter(({ role }) => role === 'user').slice(-1 - count);
    const [form] = question?.forms ?? [];
    const at = this.last.findIndex((_, start) => form?.ids.every((id, index) => this.last[start + index] === id));
    expect(at).toBeGreaterThanOrEqual(0);
    return this.last.length - at + BEFORE_QUESTION_MAX;
  }

  /** At the node that tokenizes for it, or another one. */
  async turn(fields: Readonly<Record<string, unknown>>, thinks: boolean, node = this.#node) {
    const asked = `What is number ${fields.turn}?`;
    const answer = `It is ${fields.turn}0 today.`;
    const written = thinks ? `<think>\nThey ask for ${fields.turn}.\n</think>\n\n${answer}` : answer;
    const grammar = `root ::= ${JSON.stringify(written)}`;
    const body = { ...fields, prompt: asked, grammar, return_tokens: true, temperature: 0, n_predict: 128 };
    const reply = await node.turn(body);
    expect(reply).toMatchObject({ content: written, exact_ids: true, stop_type: 'eos' });
    if (typeof fields.system === 'string') await this.#say('system', fields.system);
    await this.#say('user', asked);
    this.last = [...this.#prompt, ...this.#reply];
    this.#prompt = await wholeRendering(this.#template, this.#said, (text) => idsAt(this.#node, text, true));
    this.#reply = reply.tokens;
    await this.#answered(written, answer, reply.tokens.slice(0, -1));
    return reply;
  }

  async #say(role: 'system' | 'user', text: string): Promise<void> {
    this.#said.push({ role, text, forms: [{ text, ids: await idsAt(this.#node, text, false) }] });
  }

  async #answered(written: string, answer: string, ids: readonly TokenId[]): Promise<void> {
    const thought = await idsOfText(this.#node, ids, written.slice(0, written.length - answer.length));
    const forms = [
      { text: written, ids },
      { text: answer, ids: ids.slice(thought) },
    ];
    this.#said.push({ role: 'assistant', text: written, forms });
  }
}
