import type { SessionRecords } from '../../context-manager/sessions/session-records.ts';
import { keygroupOf } from '../../domain/cluster/model-identity.ts';
import {
  type KeygroupId,
  parseSessionKeyText,
  type SessionKey,
  sessionKeyText,
  type UserId,
  userPartOf,
} from '../../domain/identifiers.ts';
import { sessionKeyOf } from '../../domain/record/turn-record.ts';
import type { Logger } from '../../environment/environment.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';

/**
 * What LLM Services keep of a session goes with its records, however those go: deleted, expired, evicted; and where it is deleted before
 * it has any, while its first turn is under way. What was kept before a start is looked up, as its session may have gone while nobody was
 * there to tell.
 */
export function forgetRemovedSessions(
  models: readonly { readonly llm: LlmService }[],
  records: Pick<SessionRecords, 'holds' | 'onRecord' | 'onRemoved'>,
  { logger }: { readonly logger: Logger },
): void {
  const byKeygroup = new Map<KeygroupId, LlmService>();
  for (const { llm } of models) byKeygroup.set(keygroupOf(llm.description.identity), llm);
  const forget = (key: SessionKey) => {
    const llm = byKeygroup.get(key.keygroup);
    (llm?.warming ?? llm?.keptStates)?.forget(sessionKeyText(key));
  };
  records.onRemoved(forget);
  records.onRecord(({ record }) => {
    if (record.kind === 'tombstone') forget(sessionKeyOf(record));
  });
  for (const { keptStates } of byKeygroup.values()) {
    const forgetGone = async (affinities: readonly string[]) => {
      // One after the other: there may be thousands, and turns go before them.
      for (const affinity of affinities) {
        if (!(await records.holds(parseSessionKeyText(affinity)))) keptStates?.forget(affinity);
      }
    };
    keptStates?.onFound((affinities) => {
      void forgetGone(affinities).catch((error: unknown) => logger.warn('llm.kept_state_not_checked', {}, error));
    });
  }
}

/** Has all LLM Services drop what they have of a user's sessions. Rejects with what keeps one from it, once none is at it any more. */
export async function forgetStatesOf(models: readonly { readonly llm: LlmService }[], userId: UserId): Promise<void> {
  const ended = await Promise.allSettled(models.map(({ llm }) => llm.warming?.forgetAll(userPartOf(userId))));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}
