// A session is not here. Tries to have a client told to ask again for ever, or sent away while the session is on its way.
import { expect, test } from 'vitest';
import { outlookFor, type PeerState, type ReplicationStatus } from '../../../src/context-store/replication-status.ts';
import type { KeygroupId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';

const OTHER = 'ffffffffffffffff' as KeygroupId;

interface Peer {
  readonly state?: PeerState;
  /** What it serves; not known where left out. */
  readonly serves?: readonly KeygroupId[];
  /** Records of KEYGROUP that it wrote, and that are not here. */
  readonly lag?: number;
}

const statusOf = (peers: readonly Peer[]) =>
  ({
    peers: peers.map(({ state = 'connected', serves, lag }) => ({
      state,
      node: serves && { keygroups: serves },
      logs: lag === undefined ? [] : [{ keygroup: KEYGROUP, lag }],
    })),
  }) as unknown as ReplicationStatus;

test.each<[string, readonly Peer[], string]>([
  ['no other node is known', [], 'possible'],
  ['one that serves the model has records on the way', [{ serves: [KEYGROUP], lag: 3 }], 'possible'],
  ['one that serves the model cannot be reached', [{ serves: [KEYGROUP], lag: 0, state: 'unreachable' }], 'possible'],
  ['one has not said yet what it serves', [{ state: 'unreachable' }, { serves: [OTHER] }], 'possible'],
  ['all serve other models', [{ serves: [OTHER] }, { serves: [OTHER], state: 'unreachable' }], 'unshared'],
  ['the others are refused', [{ state: 'refused' }], 'unshared'],
  ['one has left the model, with records on the way', [{ serves: [OTHER], lag: 1 }], 'possible'],
  ['all that serve the model have been heard', [{ serves: [KEYGROUP], lag: 0 }, { serves: [OTHER] }], 'heard'],
])('%s', (_, peers, outlook) => {
  expect(outlookFor(KEYGROUP, statusOf(peers))).toBe(outlook);
});
