/** What an error says, or what those say that it stands for: Node.js gives one without a message for several addresses. */
export function failureText(error: unknown): string {
  if (!(error instanceof Error)) return String(error) || 'unknown';
  if (error.message !== '') return error.message;
  if (error instanceof AggregateError && error.errors.length > 0)
    return [...new Set(error.errors.map(failureText))].join('; ');
  if (error.cause !== undefined) return failureText(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
