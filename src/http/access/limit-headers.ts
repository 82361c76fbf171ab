import type { Account, Allowance } from '../../access/principal-accounts.ts';

/** How an API tells what is left of a principal's limits. */
export type LimitHeaders = (
  account: Pick<Account, 'requests' | 'ids'>,
  nowMs: number,
) => Readonly<Record<string, string>>;

/** As clients of OpenAI's API know it: `x-ratelimit-remaining-requests`, and times as `1m30s`. */
export const rateLimitHeaders: LimitHeaders = ({ requests, ids }) => ({
  ...openAiNamed('requests', requests),
  ...openAiNamed('tokens', ids),
});

/** As Anthropic's know it: `anthropic-ratelimit-requests-remaining`, and times as of RFC 3339. */
export const anthropicLimitHeaders: LimitHeaders = ({ requests, ids }, nowMs) => ({
  ...anthropicNamed('requests', requests, nowMs),
  ...anthropicNamed('tokens', ids, nowMs),
});

/** Those of all APIs, for browsers that must be told what a page may read. */
export const LIMIT_HEADER_NAMES = ['requests', 'tokens'].flatMap((what) =>
  ['limit', 'remaining', 'reset'].flatMap((part) => [
    `x-ratelimit-${part}-${what}`,
    `anthropic-ratelimit-${what}-${part}`,
  ]),
);

function openAiNamed(what: string, allowance: Allowance | undefined): Record<string, string> {
  if (allowance === undefined) return {};
  return {
    [`x-ratelimit-limit-${what}`]: String(allowance.limit),
    [`x-ratelimit-remaining-${what}`]: String(allowance.remaining),
    [`x-ratelimit-reset-${what}`]: durationText(allowance.fullAfterMs),
  };
}

function anthropicNamed(what: string, allowance: Allowance | undefined, nowMs: number): Record<string, string> {
  if (allowance === undefined) return {};
  return {
    [`anthropic-ratelimit-${what}-limit`]: String(allowance.limit),
    [`anthropic-ratelimit-${what}-remaining`]: String(allowance.remaining),
    [`anthropic-ratelimit-${what}-reset`]: new Date(nowMs + allowance.fullAfterMs).toISOString(),
  };
}

/** `250ms`, `1s`, `1m30s`, as OpenAI writes them. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${ms}ms`;
  const seconds = Math.ceil(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}
