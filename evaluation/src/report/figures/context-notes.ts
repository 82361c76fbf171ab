import { median } from '../../scenario/run-summary.ts';
import { wholeNumber } from '../numbers/number-text.ts';
import type { Arm, Panel } from '../source/panels.ts';

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

/** What the ways of keeping sessions consistent did: how long nodes waited for a context, and what they refused. */
export function consistencyNote(panels: readonly Panel[]): string {
  const arms = panels.flatMap(({ label, arms: all }) =>
    all.filter(({ variant }) => variant === 'tokenized').map((arm) => ({ label, arm })),
  );
  if (arms.length === 0) return '';
  const again = arms.reduce((sum, { arm }) => sum + sentAgain(arm), 0);
  const refused = again === 0 ? 'No turn was refused.' : `Clients sent ${again} turns again.`;
  return `Longest wait for a context: ${arms.map(({ label, arm }) => `${label} ${longestWait(arm)}`).join('; ')}. ${refused}`;
}

/** "1.0 ms", or with the node's attempts where it made several. */
function longestWait({ turns }: Arm): string {
  const waits = turns.map(({ waited_ms }) => waited_ms ?? 0);
  const retries = turns.reduce((sum, row) => sum + (row.retries ?? 0), 0);
  const tried = retries === 0 ? '' : ` (${retries} retries in ${turns.length} turns)`;
  return `${Math.max(0, ...waits).toFixed(1)}\u00a0ms${tried}`;
}

function sentAgain({ turns }: Arm): number {
  return turns.reduce((sum, { client_retries }) => sum + client_retries, 0);
}
