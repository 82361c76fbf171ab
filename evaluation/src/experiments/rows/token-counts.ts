import type { CheckRow, ExperimentTurn } from './experiment-rows.ts';

export type TokenCountCheck = Pick<
  CheckRow,
  'part' | 'setting' | 'llm_service' | 'repeat' | 'variants' | 'agrees' | 'differences'
>;

/** A setting that does not concern a variant is compared with every other. */
const ANY = 'any';

/**
 * Whether the variants have read and written equally many ids in each turn of one repeat, for each part, setting and LLM
 * Service with more than one variant. A turn that only some have answered is a difference.
 */
export function checkTokenCounts(rows: readonly ExperimentTurn[]): TokenCountCheck[] {
  const groups = new Map<string, ExperimentTurn[]>();
  for (const row of rows) {
    const { part, llm_service, repeat } = row.labels;
    const key = JSON.stringify([part, llm_service, repeat]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].flatMap((group) => {
    const settings = new Set(group.map(({ labels }) => labels.setting));
    const compared = settings.size > 1 ? [...settings].filter((setting) => setting !== ANY) : [...settings];
    return compared.flatMap((setting) => {
      const check = compare(group, setting);
      return check.variants.length > 1 ? [check] : [];
    });
  });
}

function compare(group: readonly ExperimentTurn[], setting: string): TokenCountCheck {
  const { part, llm_service, repeat } = (group[0] as ExperimentTurn).labels;
  const rows = group.filter(({ labels }) => labels.setting === setting || labels.setting === ANY);
  const variants = [...new Set(rows.map(({ labels }) => labels.variant))].sort();
  const turns = [...new Set(rows.map(({ turn }) => turn))].sort((a, b) => a - b);
  const differences = turns.flatMap((turn) => {
    const of = (field: 'prompt_tokens' | 'reply_tokens') =>
      variants.map(
        (variant) => rows.find((row) => row.turn === turn && row.labels.variant === variant)?.[field] ?? null,
      );
    const [prompt_tokens, reply_tokens] = [of('prompt_tokens'), of('reply_tokens')];
    return isEven(prompt_tokens) && isEven(reply_tokens) ? [] : [{ turn, prompt_tokens, reply_tokens }];
  });
  return { part, setting, llm_service, repeat, variants, agrees: differences.length === 0, differences };
}

function isEven(counts: readonly (number | null)[]): boolean {
  return counts.every((count) => count !== null && count === counts[0]);
}
