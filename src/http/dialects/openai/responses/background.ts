import type { TurnObserver } from '../../../../context-manager/turn/turn.ts';
import { within } from '../../../../waiting/within.ts';
import type { AppParts } from '../../../app-parts.ts';
import type { PlannedResponse } from './planned-response.ts';
import type { ResponseState } from './response-view.ts';
import type { Responses } from './responses.ts';

/** How long a request waits to hear whether what it asks for can be begun; what takes longer is told when it is asked for. */
const BEGINNING_WAIT_MS = 1_000;

/**
 * Begins a response for which nobody waits, and tells what it is then: begun, or in line. Throws what can be told at once of one
 * that cannot be made.
 */
export async function startInBackground(
  responses: Responses,
  planned: PlannedResponse,
  { node, account }: Pick<AppParts, 'node'> & Pick<TurnObserver, 'account'>,
): Promise<ResponseState> {
  const { clock, logger } = node.environment;
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const made = responses.run(planned, { gone: new AbortController().signal, part: () => {}, begun: begin, account });
  made.catch((error) => logger.debug('background_response_failed', { error: (error as Error).name }));
  await within<unknown>({ clock, waitMs: BEGINNING_WAIT_MS }, Promise.race([begun, made]), () => {});
  return responses.running.find(planned.ref.answerId)?.state ?? planned.state;
}
