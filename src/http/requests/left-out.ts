import type { TypedApp } from '../typed-app.ts';

/** An empty one is nobody's: it means what leaving it out means. */
const NAMES: ReadonlySet<string> = new Set([
  ...['session_id', 'user_id', 'model', 'after', 'before'],
  ...['previous_response_id', 'conversation'],
]);

/**
 * In this scope a null is the same as a field left out, as llama.cpp reads it, and so is an empty id or model name, in a
 * body as in a query.
 */
export function leaveOutNothing(app: TypedApp): void {
  app.addHook('preValidation', (request, _reply, done) => {
    request.body = withoutNothing(request.body);
    request.query = withoutNothing(request.query);
    done();
  });
}

function withoutNothing(fields: unknown): unknown {
  if (fields === null || typeof fields !== 'object' || Array.isArray(fields)) return fields;
  const entries = Object.entries(fields);
  const isSaid = ([name, value]: [string, unknown]) => value !== null && !(value === '' && NAMES.has(name));
  return entries.every(isSaid) ? fields : Object.fromEntries(entries.filter(isSaid));
}
