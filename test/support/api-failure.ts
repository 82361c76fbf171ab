import { APIError } from 'openai';

/** The error that OpenAI's client gives for a call; throws where it succeeds, or fails otherwise. */
export async function failure(call: Promise<unknown>): Promise<APIError> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof APIError) return outcome;
  throw outcome ?? new Error('it succeeded');
}
