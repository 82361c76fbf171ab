import { readHttpsCertificate } from '../certificates/https-certificate.ts';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { DiscedgeError } from '../domain/errors.ts';
import type { Check } from './check.ts';

/** Time enough for whoever has to renew it to come back from a holiday. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

/** Whether the API can be served over TLS, and for how long; nothing where it is plain HTTP. */
export async function checkHttps({ https }: EdgeNodeConfig, nowMs: number): Promise<Check[]> {
  if (https === undefined) return [];
  const name = 'HTTPS';
  const fix = 'renew it; the node takes it up while it runs';
  try {
    const { notAfterMs } = await readHttpsCertificate(https, nowMs);
    return [usable({ name, found: `${https.certFile} can be used`, notAfterMs, nowMs, fix })];
  } catch (error) {
    return [{ name, outcome: 'missing', found: (error as DiscedgeError).message }];
  }
}

/** What is said of a certificate that can be used now. */
export function usable({
  name,
  found,
  notAfterMs,
  nowMs,
  fix,
}: {
  readonly name: string;
  readonly found: string;
  readonly notAfterMs: number;
  readonly nowMs: number;
  readonly fix: string;
}): Check {
  const until = `${found}, until ${new Date(notAfterMs).toISOString().slice(0, 10)}`;
  if (notAfterMs - nowMs > EXPIRES_SOON_MS) return { name, outcome: 'ok', found: until };
  return { name, outcome: 'warn', found: until, fix };
}
