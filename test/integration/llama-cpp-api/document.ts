import type { ApiCase } from './cases.ts';
import { fieldsOf, isSame, shown } from './compare.ts';
import { GENERAL_DECISIONS } from './decisions.ts';
import type { Observation } from './observe.ts';

export interface Difference {
  readonly field: string;
  readonly stock: string;
  readonly embedded: string;
  readonly inFront: string;
}

export interface CaseResult {
  readonly asked: ApiCase;
  readonly differences: readonly Difference[];
  /** Fields that were to be compared and that no server has. */
  readonly unseen: readonly string[];
}

export function differencesOf(seen: {
  readonly stock: Observation;
  readonly embedded: Observation;
  readonly inFront: Observation;
}): Difference[] {
  const { stock, embedded, inFront } = seen;
  return fieldsOf(stock, embedded, inFront)
    .filter((field) => [embedded, inFront].some((ours) => !isSame(field, stock.get(field), ours.get(field))))
    .map((field) => ({
      field,
      stock: shown(field, stock.get(field)),
      embedded: shown(field, embedded.get(field)),
      inFront: shown(field, inFront.get(field)),
    }));
}

/** docs/llama-cpp-api.md, made from what the servers answered and the decisions beside the cases. */
export function documentOf(results: readonly CaseResult[]): string {
  const rows = results.flatMap(({ asked, differences }) =>
    differences
      .filter(({ field }) => GENERAL_DECISIONS.every(({ fields }) => !fields.test(field)))
      .map(({ field, stock, embedded, inFront }) => {
        const why = asked.decisions?.[field] ?? '**not decided**';
        return `| ${asked.name} | \`${field}\` | ${stock} | ${embedded} | ${inFront} | ${why} |`;
      }),
  );
  const differing = new Set(rows.map((row) => row.split(' | ')[0]?.slice(2)));
  const alike = results.map(({ asked }) => asked.name).filter((name) => !differing.has(name));
  return [
    "# llama.cpp's API",
    '',
    "What llama.cpp's own server tests ask, asked of a stock llama-server, of a node with its embedded LLM Service, and of a node in",
    'front of a llama-server, all with the demo model and in mode `client-side`. Each reply is compared by its status, by which fields it has and of',
    'what type, and by their values where those are no accident. Everything that differs is here, with the reason;',
    '`test/integration/llama-cpp-api.test.ts` makes the tables and fails for a difference without a reason.',
    '',
    '## In all replies',
    '',
    '| fields | why they differ |',
    '| --- | --- |',
    ...GENERAL_DECISIONS.map(({ named, why }) => `| ${named} | ${why} |`),
    '',
    '## Case by case',
    '',
    '| case | field | llama-server | embedded | in front of llama-server | why |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '## The same',
    '',
    `${alike.length} of ${results.length} cases, but for the fields above: ${alike.join('; ')}.`,
    '',
    '## What a session makes of it',
    '',
    '- `prompt` is the message; the reply gives it back as `prompt`, where in `client-side` it is the whole prompt, texts as they were sent and ids put into words.',
    '- `n_predict: 0` evaluates the prompt that the turn would have, so that the turn, sent after it, finds it in the KV cache. No turn is',
    '  taken and nothing is stored: the reply has no `turn` and no `context_id`, and `based_on_turn` says what the turn would follow.',
    "- `cache_prompt`, `id_slot`, `n_keep` and `n_discard` are taken and change nothing: where a session's context is kept is the node's business.",
    '- A replay was not generated: it has no `generation_settings`, `id_slot` is −1, and `tokens_cached` and `tokens_evaluated` are 0. In mode `raw` it does not say whether the window had cut it.',
    '',
  ].join('\n');
}
