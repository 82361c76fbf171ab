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
import type { Logger } from '../../environment/environment.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';

type Models = readonly { readonly llm: LlmService }[];

/** Has the session's LLM Service drop what it has of it. */
export function forgetStateOf(models: Models): (key: SessionKey) => void {
  const byKeygroup = new Map<KeygroupId, LlmService>();
  for (const { llm } of models) byKeygroup.set(keygroupOf(llm.description.identity), llm);
  return (key) => {
    const llm = byKeygroup.get(key.keygroup);
    (llm?.warming ?? llm?.keptStates)?.forget(sessionKeyText(key));
  };
}

/** What was kept before an engine's start goes where its session has gone: nobody may have been there to be told. */
export function forgetGoneSessions(
  models: Models,
  records: Pick<SessionRecords, 'holds'>,
  { logger }: { readonly logger: Logger },
): void {
  for (const { llm } of models) {
    const { keptStates } = llm;
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
export async function forgetStatesOf(models: Models, userId: UserId): Promise<void> {
  const ended = await Promise.allSettled(models.map(({ llm }) => llm.warming?.forgetAll(userPartOf(userId))));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}
