import { WHEN_FULL } from '../../domain/when-full.ts';
import { choice, integer, size, text } from './setting-schema.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** The replica of the context store; part of the settings' one schema. */
export const STORE_SETTINGS = {
  store: text({
    group: 'Context store',
    placeholder: 'leveldb|memory|nats|nats://HOST:PORT|fred://HOST:PORT',
    default: 'leveldb',
    description:
      "Kind of context store: `leveldb` is durable (`lmdb`, its name in earlier versions, means it, too), `memory` is gone when the node stops, `nats` is durable and shared with the peers through a nats-server of this node's own, which it starts from the PATH and looks after; `nats://HOST:PORT` uses one that runs, `fred://HOST:PORT` a FReD node that runs. docs/stores.md says which to take.",
  }),
  storeBytesMax: size({
    group: 'Context store',
    minimum: 16 * MIB,
    maximum: 1024 * GIB,
    default: 4 * GIB,
    description:
      'Size above which the sessions unused for longest are removed, of users who have more than an equal part, and of these first what other nodes hold. From 16 MiB, below which bookkeeping outweighs the sessions, to 1 TiB.',
  }),
  storeWhenFull: choice(WHEN_FULL, {
    group: 'Context store',
    default: 'evict',
    description:
      'What becomes of sessions that no other node is known to hold, all of them where the store is shared with none, when the store is full: `evict` removes the ones unused for longest, `refuse` keeps them and answers turns with `store_unavailable` until others hold them, or some are deleted or expire.',
  }),
  clockToleranceMs: integer({
    group: 'Context store',
    minimum: 1_000,
    maximum: 300_000,
    default: 60_000,
    unit: 'milliseconds',
    description:
      "How far this machine's clock may jump, or be from the clocks of other nodes, before it is doubted: nothing expires then. From 1,000, which NTP corrects by now and then, to 300,000, half of the ten minutes that shared sessions live longer because clocks differ.",
  }),
  expireEveryMs: integer({
    group: 'Context store',
    minimum: 1_000,
    maximum: 86_400_000,
    default: 60_000,
    unit: 'milliseconds',
    description:
      'How often expired sessions are removed. From 1,000, so that looking does not become the main work, to 86,400,000 (a day), so that expired data does not stay.',
  }),
};
