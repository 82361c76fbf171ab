import { randomBytes } from 'node:crypto';
import { type ApiKey, newApiKey } from '../src/access/api-key.ts';
import type { KeyFolder } from '../src/access/key-folder.ts';
import type { UserId } from '../src/domain/identifiers.ts';
import type { Scope } from '../src/domain/principals/principal.ts';

export interface WantedKey extends Pick<ApiKey, 'limits' | 'expiresAtMs'> {
  /** A user's, if nothing else is said. */
  readonly scopes?: readonly Scope[];
  readonly user?: string | undefined;
}

/** As `discedge keys create`: puts what is kept of a key into a folder, and resolves with it and with the key itself. */
export async function newKey(
  keys: KeyFolder,
  { scopes = ['user'], user, ...rest }: WantedKey,
): Promise<{ readonly text: string; readonly kept: ApiKey }> {
  const made = newApiKey(
    { scopes, user: user as UserId | undefined, ...rest },
    { random: { bytes: randomBytes }, nowMs: 0 },
  );
  await keys.put(made.kept);
  return made;
}
