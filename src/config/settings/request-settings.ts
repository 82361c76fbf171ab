import { Type } from 'typebox';
import { integer, list, size } from './setting-schema.ts';

const KIB = 1024;
const MIB = 2 ** 20;

/** What the node takes from clients at once; part of the settings' one schema. */
export const REQUEST_SETTINGS = {
  corsOrigins: Type.Optional(
    list({
      group: 'Requests',
      placeholder: 'ORIGIN,…',
      defaultText: 'none',
      description:
        "Origins whose pages may call the API from a browser, such as `https://app.example`; `*` for any. None by default: a page that somebody happens to open must not speak to a node on that person's machine or network.",
    }),
  ),
  bodyBytesMax: size({
    group: 'Requests',
    minimum: KIB,
    maximum: 64 * MIB,
    default: MIB,
    description:
      'Largest request body. It is held in memory as a whole, hence at most 64 MiB; at least 1 KiB, room for a short message.',
  }),
  connectionsMax: integer({
    group: 'Requests',
    minimum: 16,
    maximum: 65_536,
    default: 2_048,
    unit: 'connections',
    description:
      'Connections of clients at once; further ones are closed as they come. Each takes a file descriptor, and as much memory as what its client leaves unread. From 16, as one browser opens six, to 65,536, as many as one address can open to another.',
  }),
  turnsInFlightMax: integer({
    group: 'Requests',
    minimum: 1,
    maximum: 65_536,
    default: 256,
    unit: 'turns',
    description:
      'Turns accepted at once on this node, waiting ones included; more are refused with `overloaded`. The last quarter is for those alone who have fewer than others, for whom turns that only wait give way as well (docs/security.md). At most 65,536, since each holds a connection and its context in memory.',
  }),
  sessionQueueMax: integer({
    group: 'Requests',
    minimum: 1,
    maximum: 65_536,
    default: 64,
    unit: 'requests',
    description:
      'Requests that may wait for one session; more are refused with `session_busy`. A client has one turn under way, so even its retries stay far below; at most 65,536, the most turns there can be.',
  }),
  finishAbandonedMs: integer({
    group: 'Requests',
    minimum: 0,
    maximum: 3_600_000,
    default: 60_000,
    unit: 'milliseconds',
    description:
      'How long a turn goes on after its client has left, so that a retry finds it done. 0 stops at once; at most 3,600,000 (an hour) of work that nobody may ever read.',
  }),
};
