import type { Access } from '../../src/access/access.ts';
import type { AuditLog } from '../../src/access/audit-log.ts';
import { PrincipalAccounts } from '../../src/access/principal-accounts.ts';
import { ModelDirectory } from '../../src/context-manager/model-directory.ts';
import { SealedIds } from '../../src/domain/encryption/sealed-ids.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { type App, createApp } from '../../src/http/app.ts';
import { compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import type { Rig } from './context-manager-rig.ts';

/** The HTTP API over a rig's Context Manager, to be asked without a socket. */
export async function appOver(rig: Rig, access: Access, audit?: AuditLog): Promise<App> {
  const { llm, manager: contextManager } = rig;
  const template = await compileChatTemplate(llm.description, (text, how) => llm.tokenize(text, how));
  const { name } = llm.description.identity;
  return createApp({
    models: new ModelDirectory([{ name, llm, template, keygroup: contextManager.keygroup, contextManager }]),
    node: rig.node,
    ...{ access, audit },
    accounts: new PrincipalAccounts({}, rig.node.environment.clock),
    ids: new SealedIds(new Uint8Array(32)),
    metricsText: async () => ({ text: '', contentType: 'text/plain' }),
    options: {
      ...{ version: '0', nodeId: 'n' as NodeId, storeName: 'memory', corsOrigins: [] },
      ...{ bodyBytesMax: 4096, connectionsMax: 100, ttlSecondsMax: 600 },
      ...{ defaultConsistency: 'strong', defaultWriteConcern: 'local', defaultOverflow: 'error' },
      ...{ maxWaitMs: 0, replicatedWaitMs: 0, maxWaitMsLimit: 0, keepConversations: true },
    },
  });
}
