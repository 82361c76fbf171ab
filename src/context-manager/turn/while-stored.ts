import { OutcomeUnknown } from '../../context-store/outcome-unknown.ts';
import type { SessionKey } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import type { EnteredPass } from '../arbitration/arbitration.ts';
import type { NodeResources } from '../node-resources.ts';

/** A place in a session that is this node's. */
export interface HeldPlace {
  readonly key: SessionKey;
  readonly pass: EnteredPass;
  /** Whether the session was in doubt before the gate: see `SessionRecords.requireKnown`. */
  readonly wasInDoubt: boolean;
  /** To whom what is stored is counted. */
  readonly account: TurnAccount | undefined;
}

/**
 * Runs what stores a record at the place: what its user may store is held meanwhile, and who waits for the place is told how it ended.
 * Throws as `store` does, `quota_exceeded`, and what `SessionRecords.requireKnown` throws.
 */
export async function whileStored<T>(
  { key, pass, wasInDoubt, account }: HeldPlace,
  { quotas, records }: Pick<NodeResources, 'quotas' | 'records'>,
  store: () => Promise<T>,
): Promise<T> {
  let outcome: 'stored' | 'nothing' | 'unknown' = 'nothing';
  try {
    const stored = await quotas.holding({ account, key }, () => {
      records.requireKnown(key, { wasInDoubt });
      return store();
    });
    outcome = 'stored';
    return stored;
  } catch (error) {
    if (error instanceof OutcomeUnknown) outcome = 'unknown';
    throw error;
  } finally {
    pass.held.end(outcome);
  }
}
