import { DiscedgeError } from '../domain/errors.ts';

export function unusable(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('certificate_unusable', message, { cause });
}
