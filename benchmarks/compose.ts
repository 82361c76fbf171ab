// npm run bench:compose [-- --turns N --sessions N --rows FILE]
//
// What composing a prompt takes as a session grows, under templates of each class: the Context Manager's own work, from the new
// message to the ids of the whole prompt, without LLM Service, store and HTTP. And folding a whole session from its records.
import { appendFileSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { TextMessage } from '../src/domain/record/turn-record.ts';
import type { TokenId } from '../src/domain/token-sequence.ts';
import { type ChatTemplate, compileChatTemplate } from '../src/llm-service/chat-template.ts';
import { qwen2VocabularyFile } from '../tools/qwen2-vocabulary.ts';
import { loadVocabulary, type Vocabulary } from '../tools/vocabulary.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { ComposedSession, type ConstantReply } from './support/composed-session.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const SEED = 1;
const STAGES = [1, 10, 100, 500, 1000];
/** Turns looked at together, as far as a session has them, so that one stall does not decide a figure. */
const AROUND = 4;
const REPLY_TOKENS = 128;
const REASONING_TOKENS = 256;
const SYSTEM: TextMessage = { role: 'system', content: 'You help a robot find its way. Be brief.' };

interface Case {
  readonly name: string;
  /** A file of test/support/chat-templates, or Jinja source. */
  readonly template: { readonly file: string } | { readonly source: string };
  readonly trait: 'plain' | 'system' | 'thinking';
  readonly thinks: boolean;
  readonly system: boolean;
  /** Where composing takes longer the longer a session is, sessions are shorter. */
  readonly turnsMax?: number;
}

/** A template whose messages are numbered: how a turn stands follows from all that came before it. */
const NUMBERED = `{%- set ns = namespace(round=0) -%}{%- for m in messages -%}
{%- if m.role == 'assistant' -%}{{- 'A: ' + m.content + '<|im_end|>\\n' -}}{%- else -%}{%- set ns.round = ns.round + 1 -%}{{- '[Round ' ~ ns.round ~ '] ' + m.role + ': ' + m.content + '\\n' -}}{%- endif -%}
{%- endfor -%}{%- if add_generation_prompt -%}{{- 'A:' -}}{%- endif -%}`;

const CASES: readonly Case[] = [
  { name: 'append', template: { file: 'qwen2-5' }, trait: 'plain', thinks: false, system: false },
  { name: 'follow, thinking', template: { file: 'qwen3' }, trait: 'thinking', thinks: true, system: false },
  { name: 'rewrite, system', template: { file: 'mistral-nemo' }, trait: 'system', thinks: false, system: true },
  {
    name: 'append, whole window',
    template: { source: NUMBERED },
    trait: 'plain',
    thinks: false,
    system: false,
    turnsMax: 100,
  },
];

const values = benchmarkFlags('compose', {
  turns: { type: 'string', default: '1000', help: 'TURNS of each session', isNumber: true },
  sessions: { type: 'string', default: '5', help: 'SESSIONS of each template', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const info = runInfo('compose', SEED);
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

const composed: Array<Record<string, string | number>> = [];
const folded: Array<Record<string, string | number>> = [];
const vocabulary = await loadVocabulary(await qwen2VocabularyFile());
try {
  for (const each of CASES) await measure(each, vocabulary);
} finally {
  await vocabulary.close();
}
console.log(`Composing a prompt, ${values.sessions} sessions of ${values.turns} turns`);
console.log(table(composed, ['template', 'class', 'turn', 'contextIds', 'rewrittenIds', 'p50Us', 'p99Us', 'toTurn10']));
console.log('\nFolding a session from its records');
console.log(table(folded, ['template', 'class', 'turns', 'contextIds', 'foldMs']));
if (values.rows !== undefined) {
  const rows = [
    ...composed.map((row) => ({ ...info, part: 'compose', ...row })),
    ...folded.map((row) => ({ ...info, part: 'fold', ...row })),
  ];
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  console.log(`\n${rows.length} rows appended to ${values.rows}`);
}

async function measure(each: Case, { description, tokenize }: Vocabulary): Promise<void> {
  const turns = Math.min(Number(values.turns), each.turnsMax ?? Number.POSITIVE_INFINITY);
  const template = await compiled(each, { description, tokenize });
  const found = template.classes.find(({ trait }) => trait === each.trait)?.class ?? 'refused';
  const reply = await replyOf(each, template, tokenize);
  const samples = new Map(STAGES.map((stage) => [stage, [] as number[]]));
  const contextIds = new Map<number, number>();
  const rewrittenIds = new Map<number, number>();
  const foldTimes: number[] = [];
  let last = 0;
  // The first is not counted: it warms up the compiler.
  for (let count = 0; count <= Number(values.sessions); count++) {
    const session = await ComposedSession.open(template);
    for (let turn = 1; turn <= turns; turn++) {
      const opening = turn === 1 && each.system ? [SYSTEM] : [];
      const asked = { role: 'user' as const, content: `Where is waypoint ${turn}, and how far is it from here?` };
      const { composeMs, rewritten } = await session.turn([...opening, asked], reply);
      const stage = STAGES.find((at) => (at === 1 ? turn === 1 : turn > at - AROUND && turn <= at));
      if (stage === undefined || count === 0) continue;
      samples.get(stage)?.push(composeMs * 1000);
      contextIds.set(stage, session.promptTokens);
      rewrittenIds.set(stage, rewritten);
    }
    last = session.promptTokens;
    if (count > 0) foldTimes.push(await session.foldMs());
  }
  const at10 = quantile(samples.get(10) ?? [], 0.5);
  for (const stage of STAGES.filter((at) => at <= turns)) {
    const times = samples.get(stage) ?? [];
    composed.push({
      template: each.name,
      class: found,
      turn: stage,
      contextIds: contextIds.get(stage) ?? 0,
      rewrittenIds: rewrittenIds.get(stage) ?? 0,
      p50Us: rounded(quantile(times, 0.5), 1),
      p99Us: rounded(quantile(times, 0.99), 1),
      toTurn10: rounded(quantile(times, 0.5) / at10, 2),
    });
  }
  folded.push({
    template: each.name,
    class: found,
    turns,
    contextIds: last,
    foldMs: rounded(quantile(foldTimes, 0.5), 1),
  });
}

function compiled({ template }: Case, { description, tokenize }: Pick<Vocabulary, 'description' | 'tokenize'>) {
  const source =
    'source' in template
      ? template.source
      : readFileSync(new URL(`../test/support/chat-templates/${template.file}.jinja`, import.meta.url), 'utf8');
  return compileChatTemplate({ ...description, chatTemplate: source }, tokenize, { now: () => 0 });
}

async function replyOf(
  { thinks }: Case,
  { reasoning }: ChatTemplate,
  tokenize: Vocabulary['tokenize'],
): Promise<ConstantReply> {
  const words = async (sentence: string, count: number) => {
    const ids = await tokenize(`${sentence} `.repeat(count), { parseSpecial: false });
    return ids.slice(0, count);
  };
  const end = await tokenize('<|im_end|>', { parseSpecial: true });
  const thought: TokenId[] = [];
  if (thinks) {
    const mark = await tokenize(`${reasoning?.end ?? '</think>'}\n\n`, { parseSpecial: true });
    thought.push(...(await words('They want to know where it is, so I look at the map.', REASONING_TOKENS)), ...mark);
  }
  return {
    ids: [...thought, ...(await words('It is two metres from here, behind the shelf.', REPLY_TOKENS)), ...end],
    reasoningLength: thought.length,
  };
}
