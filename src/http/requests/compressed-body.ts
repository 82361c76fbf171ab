import type { IncomingHttpHeaders } from 'node:http';
import { DiscedgeError } from '../../domain/errors.ts';

/** `unsupported_media_type` for a request whose body is not as it is. */
export function compressionFault({
  'content-encoding': encoding = 'identity',
}: IncomingHttpHeaders): DiscedgeError | undefined {
  if (encoding.toLowerCase() === 'identity') return undefined;
  const message = 'the request body is compressed; send it as it is, without content-encoding';
  return new DiscedgeError('unsupported_media_type', message);
}
