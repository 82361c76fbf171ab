import { median } from '../run-summary.ts';
import { wholeNumber } from './number-text.ts';
import type { Arm, Panel } from './panels.ts';

/** Why raw text may cost little more than ids: what of each prompt the model had in its KV cache. Empty without both. */
export function cacheNote(panels: readonly Panel[]): string {
  const rows = (variant: string) =>
    panels
      .flatMap((panel) => panel.arms.filter((arm) => arm.variant === variant))
      .flatMap(({ turns }) => turns.filter(({ error }) => error === ''));
  const [tokenized, raw] = [rows('tokenized'), rows('raw')];
  const evaluated = [tokenized, raw].map((some) => median(some.flatMap(({ evaluated_tokens: n }) => n ?? [])));
  const prompt = median([...tokenized, ...raw].flatMap(({ prompt_tokens: n }) => n ?? []));
  const [ofIds, ofText] = evaluated;
  if (ofIds === undefined || ofText === undefined || prompt === undefined) return '';
  const counts = `Of the ${wholeNumber(prompt)} ids of a prompt (median) the model evaluated ${wholeNumber(ofIds)} with tokenized context and ${wholeNumber(ofText)} with raw text`;
  const isCached = Math.max(ofIds, ofText) <= prompt / 2;
  return isCached
    ? `${counts}; its KV cache had the rest, so what raw text costs more is to tokenize the history again.`
    : `${counts}.`;
}

/** What the ways of keeping sessions consistent did: how often nodes waited for a context, and clients sent again. */
export function consistencyNote(panels: readonly Panel[]): string {
  const each = panels.flatMap(({ label, arms }) =>
    arms.filter(({ variant }) => variant === 'tokenized').map((arm) => `${label}: ${waitsText(arm)}`),
  );
  return each.length === 0 ? '' : `Waiting for the context. ${each.join('; ')}.`;
}

function waitsText({ turns }: Arm): string {
  const waited = turns.filter(({ waited_ms }) => (waited_ms ?? 0) > 0);
  const longest = Math.max(0, ...waited.map(({ waited_ms }) => waited_ms ?? 0));
  const again = turns.reduce((sum, { client_retries }) => sum + client_retries, 0);
  const atMost = waited.length === 0 ? '' : `, at most ${longest.toFixed(1)}\u00a0ms`;
  return `${waited.length} of ${turns.length} turns${atMost}, ${again} sent again`;
}
