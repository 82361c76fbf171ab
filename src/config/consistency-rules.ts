import type { Complain } from './given-settings.ts';
import type { Settings } from './settings/settings.ts';
import { type StoreKind, sharingStores } from './store-kinds.ts';

/** What these settings ask of each other and of the store. */
export const CONSISTENCY_RULES = [
  `\`write-concern: replicated\` needs \`store: ${sharingStores()}\`.`,
  'With `turn-gate: fixed`, `turn-gate-retries-max` times `turn-gate-backoff-ms` must not exceed `max-wait-ms`.',
] as const;

export function checkConsistency(settings: Settings, store: StoreKind, complain: Complain): void {
  const { writeConcern, turnGate, turnGateRetriesMax, turnGateBackoffMs, maxWaitMs } = settings;
  if (writeConcern === 'replicated' && !store.shares) {
    complain(
      'writeConcern',
      `(replicated) needs store ${sharingStores()}: ${store.name} shares its sessions with no other node`,
    );
  }
  const waitMs = turnGateRetriesMax * turnGateBackoffMs;
  if (turnGate === 'fixed' && waitMs > maxWaitMs) {
    complain(
      'turnGateRetriesMax',
      `(${turnGateRetriesMax}) times turn-gate-backoff-ms (${turnGateBackoffMs}) must not exceed max-wait-ms (${maxWaitMs}), beyond which no turn waits`,
    );
  }
}
