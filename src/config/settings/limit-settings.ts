import { Type } from 'typebox';
import { LIMITS, type LimitName, type Limits } from '../../domain/principals/limits.ts';
import { integer, size } from './setting-schema.ts';

const described = (name: LimitName) =>
  ({
    group: 'Limits',
    minimum: LIMITS[name].minimum,
    maximum: LIMITS[name].maximum,
    defaultText: 'none',
    description: `${LIMITS[name].what} A key may have another (\`discedge keys create\`).`,
  }) as const;

/** What each principal may ask of the node, and its users; part of the settings' one schema. */
export const LIMIT_SETTINGS = {
  limitRequestsPerSecond: Type.Optional(integer({ ...described('requestsPerSecond'), unit: 'requests a second' })),
  limitIdsPerMinute: Type.Optional(integer({ ...described('idsPerMinute'), unit: 'tokens a minute' })),
  limitConcurrentTurns: Type.Optional(integer({ ...described('concurrentTurns'), unit: 'turns' })),
  limitUserTurns: Type.Optional(integer({ ...described('userTurns'), unit: 'turns' })),
  limitSessions: Type.Optional(integer({ ...described('sessions'), unit: 'sessions' })),
  limitBytes: Type.Optional(size(described('bytes'))),
} as const;

export type LimitSettings = { readonly [name in keyof typeof LIMIT_SETTINGS]?: number | undefined };

/** The name of the setting of each limit. */
export const LIMIT_SETTING_OF = {
  requestsPerSecond: 'limitRequestsPerSecond',
  idsPerMinute: 'limitIdsPerMinute',
  concurrentTurns: 'limitConcurrentTurns',
  userTurns: 'limitUserTurns',
  sessions: 'limitSessions',
  bytes: 'limitBytes',
} as const satisfies Record<LimitName, keyof typeof LIMIT_SETTINGS>;

/** The limits that are set. */
export function readLimits(settings: LimitSettings): Limits {
  const set = Object.entries(LIMIT_SETTING_OF).map(([name, setting]) => [name, settings[setting]] as const);
  return Object.fromEntries(set.filter(([, limit]) => limit !== undefined));
}
