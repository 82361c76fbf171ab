import type { Access } from '../../access/access.ts';
import { AskedAccess } from '../../access/asked-access.ts';
import { AuditFile } from '../../access/audit-file.ts';
import type { AuditLog } from '../../access/audit-log.ts';
import { KeyFolder } from '../../access/key-folder.ts';
import type { EdgeNodeConfig } from '../../config/config.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { isLoopbackHost } from '../../domain/loopback.ts';
import type { Environment } from '../../environment/environment.ts';
import { repeat } from '../../waiting/repeat.ts';

/** How soon a key that was added or revoked counts. */
const RELOAD_EVERY_MS = 1_000;

export interface OpenedAccess {
  readonly access: Access;
  readonly keys: KeyFolder;
  /** `undefined` where no administrative acts are noted. */
  readonly audit: AuditLog | undefined;
  /** Has `listener` called after the keys have been read again. */
  onReload(listener: () => void): void;
  close(): Promise<void>;
}

/**
 * Who may use the node, as keys and settings have it now and from now on. Throws `config_invalid` where the node would serve other
 * machines and ask nobody, and `data_dir_unusable` for keys that cannot be read.
 */
export async function openAccess(
  { access, listen, nodeId }: EdgeNodeConfig,
  environment: Environment,
): Promise<OpenedAccess> {
  const { clock, logger } = environment;
  const keys = new KeyFolder(access.keysDir);
  const reload = async () => {
    for (const file of await keys.reload()) logger.warn('api_key_damaged', { file });
  };
  await reload();
  const tokens =
    access.tokens && new (await import('../../access/bearer-tokens.ts')).BearerTokens(access.tokens, clock);
  const isLocal = isLoopbackHost(listen.host);
  const asked = new AskedAccess({ keys, tokens, clock, onlyLocal: isLocal && !access.servesAnyone });
  if (!asked.asks && !access.servesAnyone && !isLocal) {
    throw new DiscedgeError(
      'config_invalid',
      `listen ${listen.host} can be reached from other machines, and nobody would be asked who calls: make a key ("discedge keys create"), set jwt-issuer, or say --serve-anyone`,
    );
  }
  const audit =
    access.auditLog === undefined ? undefined : await AuditFile.open({ path: access.auditLog }, environment);
  audit?.note('node.start', { node: nodeId, keys: keys.all().length });
  const listeners: Array<() => void> = audit === undefined ? [] : [notedKeys(keys, audit)];
  const endReloading = repeat({ clock, everyMs: RELOAD_EVERY_MS }, async () => {
    try {
      await reload();
      for (const listener of listeners) listener();
    } catch (error) {
      // Keys as last read go on counting: a disk that fails must not lock everyone out, nor let anyone in.
      logger.error('api_keys_unreadable', {}, error);
    }
  });
  const close = async () => {
    await endReloading();
    await audit?.flush();
  };
  return { access: asked, keys, audit, onReload: (listener) => listeners.push(listener), close };
}

/** Notes keys that have come, and those that are over by now, each time it is called. */
function notedKeys(keys: KeyFolder, audit: AuditLog): () => void {
  const known = new Map(keys.all().map(({ id, revokedAtMs }) => [id, revokedAtMs !== undefined]));
  return () => {
    for (const { id, user, scopes, revokedAtMs } of keys.all()) {
      const isRevoked = revokedAtMs !== undefined;
      if (!known.has(id)) audit.note('key.known', { key: id, user, scopes: scopes.join(',') });
      if (isRevoked && known.get(id) !== true) audit.note('key.revoked', { key: id, user });
      known.set(id, isRevoked);
    }
  };
}
