import { CONSISTENCIES, TURN_GATE_POLICIES, WRITE_CONCERNS } from '../../domain/session/consistency.ts';
import { choice, integer } from './setting-schema.ts';

/** What a turn waits for, before it is answered and after; part of the settings' one schema. */
export const CONSISTENCY_SETTINGS = {
  consistency: choice(CONSISTENCIES, {
    group: 'Contexts',
    default: 'strong',
    description:
      'Consistency of requests that name none: `strong` waits for the turn before and otherwise refuses, `available` goes on with what is here and says so.',
  }),
  maxWaitMs: integer({
    group: 'Contexts',
    minimum: 0,
    maximum: 600_000,
    default: 1_000,
    unit: 'milliseconds',
    description:
      'How long a turn waits for the turn before it to arrive, where the request does not say. 0 never waits; at most `max-wait-ms-limit`.',
  }),
  maxWaitMsLimit: integer({
    group: 'Contexts',
    minimum: 0,
    maximum: 600_000,
    default: 30_000,
    unit: 'milliseconds',
    description:
      'The longest wait a request may ask for, since each wait holds a connection. At most 600,000 (ten minutes), which proxies on the way do not survive anyway.',
  }),
  turnGate: choice(TURN_GATE_POLICIES, {
    group: 'Contexts',
    default: 'event',
    description:
      'What makes a turn that waits for the turn before it look again: `event`, its arrival; `fixed`, the policy of the paper, for comparison: `turn-gate-retries-max` times, `turn-gate-backoff-ms` apart, whatever arrives in between. `max-wait-ms` bounds both.',
  }),
  turnGateRetriesMax: integer({
    group: 'Contexts',
    minimum: 0,
    maximum: 10_000,
    default: 3,
    unit: 'retries',
    description:
      "With `turn-gate: fixed`, how often a turn looks again: the paper's 3 (its prototype takes 5). At most 10,000, as each reads the replica.",
  }),
  turnGateBackoffMs: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 60_000,
    default: 10,
    unit: 'milliseconds',
    description:
      "With `turn-gate: fixed`, how long before each of them: the paper's 10. From 1, so that waiting is not a busy loop, to 60,000.",
  }),
  arbiterWaitMs: integer({
    group: 'Contexts',
    minimum: 0,
    maximum: 60_000,
    default: 100,
    unit: 'milliseconds',
    description:
      'How long the node that tells whether another one is at a turn may take to answer, beyond the delay that was measured to it; then the turn is answered all the same, and the reply says so (`arbitrated`). The default lets a busy node come to it; a link that is cut keeps a turn as long until the cut is noticed.',
  }),
  writeConcern: choice(WRITE_CONCERNS, {
    group: 'Contexts',
    default: 'local',
    description:
      'What a reply waits for, where the request does not say: `local`, the turn is on the disk of this node; `replicated`, on that of a peer as well, as far as `replicated-wait-ms` allows, and the reply says whether. `replicated` needs a store that other nodes share, `nats` or `fred`.',
  }),
  replicatedWaitMs: integer({
    group: 'Contexts',
    minimum: 0,
    maximum: 600_000,
    default: 1_000,
    unit: 'milliseconds',
    description:
      'How long the end of a reply waits for a peer, where the request does not say. In a LAN a peer answers within milliseconds; the default lets a hiccup pass, and whoever waits at the other end still sees a reply. At most `max-wait-ms-limit`.',
  }),
};
