/** What one principal, or each of its users, may ask of a node; what is left out is not limited. */
export type Limits = Readonly<Partial<Record<LimitName, number>>>;

export type LimitName = keyof typeof LIMITS;

/**
 * Every limit there is. Settings of a node, options of a key and the text that shows them are made from it. All are whole numbers
 * from 1, or `minimum`: what nobody may do is better said by having no key.
 */
export const LIMITS = {
  requestsPerSecond: {
    minimum: 1,
    maximum: 1_000_000,
    unit: 'requests/s',
    what: 'Requests a second of one principal; as many may come at once. At most 1,000,000, far beyond what one node answers.',
  },
  idsPerMinute: {
    minimum: 1,
    maximum: 1_000_000_000,
    unit: 'ids/min',
    what: 'Ids a minute that the LLM Service works on for one principal: those of prompts that it evaluates, and of replies. Those that it finds in its KV cache are free. At most 1,000,000,000, far beyond what one engine does.',
  },
  concurrentTurns: {
    minimum: 1,
    maximum: 65_536,
    unit: 'turns at once',
    what: 'Turns that one principal may have under way at once, those that wait included. At most 65,536, as `turns-in-flight-max`.',
  },
  userTurns: {
    minimum: 1,
    maximum: 65_536,
    unit: 'turns at once a user',
    what: 'The same of each user that a service acts for, so that one of them leaves room for the others. At most 65,536, as `turns-in-flight-max`.',
  },
  sessions: {
    minimum: 1,
    maximum: 10_000,
    unit: 'sessions a user',
    what: "Sessions that each user may have in a node's store; then no new one is opened until one is deleted or over. At most 10,000: so many are counted for a user, and held in memory.",
  },
  bytes: {
    minimum: 1024,
    maximum: 2 ** 40,
    unit: 'bytes a user',
    what: "Bytes of records that each user may have in a node's store; then no turn of theirs is taken until a session is deleted or over. From 1 KiB, room for a short turn, to 1 TiB, the largest store.",
  },
} as const;

export const LIMIT_NAMES = Object.keys(LIMITS) as readonly LimitName[];

/** Limits as they are written: an object of whole numbers within their bounds. */
export function isLimits(value: unknown): value is Limits {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(([name, limit]) => {
    const known = Object.hasOwn(LIMITS, name) ? LIMITS[name as LimitName] : undefined;
    return known !== undefined && Number.isSafeInteger(limit) && limit >= known.minimum && limit <= known.maximum;
  });
}

/** For people: `5 requests/s, 2 turns at once`. */
export function limitsText(limits: Limits): string {
  const given = LIMIT_NAMES.filter((name) => limits[name] !== undefined);
  return given.map((name) => `${limits[name]} ${LIMITS[name].unit}`).join(', ');
}
