import { Type } from 'typebox';
import { WARMING_POLICIES } from '../../domain/warming-policies.ts';
import { choice, integer, size } from './setting-schema.ts';

const GIB = 2 ** 30;

/** Which contexts are evaluated before anyone asks, and how much of that; part of the settings' one schema. */
export const WARMING_SETTINGS = {
  warming: choice(WARMING_POLICIES, {
    group: 'LLM Service',
    default: 'predicted',
    description:
      'Whose contexts an idle LLM Service evaluates ahead of need, when a turn was taken at another node: `predicted` where the turns of the cluster so far say that the next one comes here, `near` where this node is the nearest in the direction of travel (needs `location`), `hinted` where the client says so, `all` every one, `off` none. What a client says counts under `near` and `predicted`, too. Nothing is warmed with a store that shares with no other node.',
  }),
  warmingChancePercent: integer({
    group: 'LLM Service',
    minimum: 1,
    maximum: 100,
    default: 40,
    unit: 'percent',
    description:
      'The least chance that the next turn comes here for which its context is warmed. At 40, a second that a user does not wait is worth one and a half of an idle engine. From 1, nearly all, to 100, only what is certain.',
  }),
  warmingIdsPerSecond: Type.Optional(
    integer({
      group: 'LLM Service',
      minimum: 1,
      maximum: 1_000_000,
      unit: 'tokens/s',
      defaultText: 'as many as the idle engine evaluates',
      description:
        'Tokens that are evaluated ahead of need each second, by each model, on average: what warming may cost in energy. At most 1,000,000, which no engine reaches.',
    }),
  ),
  warmingKvBytes: Type.Optional(
    size({
      group: 'LLM Service',
      minimum: 0,
      maximum: 1024 * GIB,
      defaultText: 'as much as the engine has room for beside what is worth more',
      description:
        'KV state of each model that may have been warmed and wait to be used; beyond it what was warmed longest ago is given up, never what turns left. Counts where the engine knows the size of its state (embedded). 0 warms nothing there; more than 1 TiB is no cache.',
    }),
  ),
};
