import type { Access } from '../access/access.ts';
import type { AuditLog } from '../access/audit-log.ts';
import type { PrincipalAccounts } from '../access/principal-accounts.ts';
import type { ModelDirectory } from '../context-manager/model-directory.ts';
import type { NodeResources } from '../context-manager/node-resources.ts';
import type { SealedIds } from '../domain/encryption/sealed-ids.ts';
import type { NodeId } from '../domain/identifiers.ts';
import type { Consistency, WriteConcern } from '../domain/session/consistency.ts';
import type { OverflowPolicy } from '../domain/session/context-window.ts';
import type { TlsParts } from './connections/tls-server.ts';

/** What the HTTP API stands on. */
export interface AppParts {
  readonly models: ModelDirectory;
  readonly node: NodeResources;
  readonly access: Access;
  /** Absent where no administrative acts are noted. */
  readonly audit?: AuditLog | undefined;
  readonly accounts: PrincipalAccounts;
  /** Ids that every node of the cluster opens. */
  readonly ids: SealedIds;
  /** All metrics as Prometheus text, and its content type. */
  readonly metricsText: () => Promise<{ readonly text: string; readonly contentType: string }>;
  /** Served over TLS with it; plain HTTP without. */
  readonly tls?: TlsParts | undefined;
  readonly options: AppOptions;
}

export interface AppOptions {
  readonly version: string;
  readonly nodeId: NodeId;
  readonly storeName: string;
  readonly bodyBytesMax: number;
  readonly connectionsMax: number;
  /** Whose pages may call the API, `*` for any. */
  readonly corsOrigins: readonly string[];
  readonly defaultConsistency: Consistency;
  readonly defaultWriteConcern: WriteConcern;
  readonly defaultOverflow: OverflowPolicy;
  readonly maxWaitMs: number;
  readonly replicatedWaitMs: number;
  /** Bounds both waits that a request may ask for. */
  readonly maxWaitMsLimit: number;
  readonly ttlSecondsMax: number;
  /** Whether conversations that their clients keep are kept here as well, where a request does not say. */
  readonly keepConversations: boolean;
}
