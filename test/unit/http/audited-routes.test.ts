// Asks every operation of the document as a service does, and looks at what the audit log is told. One that is added, and does more
// than read, stands here: as an act, or as what everybody does every day.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Access } from '../../../src/access/access.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import type { App } from '../../../src/http/app.ts';
import type { Json } from '../../../tools/test-node.ts';
import { appOver } from '../../support/app-rig.ts';
import { contextManagerRig } from '../../support/context-manager-rig.ts';

/** What an operation is called in the log: it destroys, administers, or takes away or brings in all that a session or a user has. */
const ACTS: Readonly<Record<string, string>> = {
  eraseUser: 'user.erase',
  exportUser: 'user.export',
  importUser: 'user.import',
  setLifetime: 'user.lifetime',
  clearLifetime: 'user.lifetime',
  setPreferences: 'user.preferences',
  clearPreferences: 'user.preferences',
  deleteSession: 'session.delete',
  exportSession: 'session.export',
  importSession: 'session.import',
  moveSession: 'session.move',
  deleteResponse: 'response.delete',
  deleteChatCompletion: 'completion.delete',
  deleteConversation: 'conversation.delete',
  deleteItem: 'item.delete',
};
/** Turns, what is done around them, and what is added. */
const USE = [
  ...['takeTurn', 'takeTurnAtCompletions', 'createChatCompletion', 'createCompletion', 'createResponse'],
  ...['createAnthropicMessage', 'countAnthropicTokens', 'countInputTokens', 'compactConversation', 'createEmbeddings'],
  ...['tokenize', 'detokenize', 'applyTemplate', 'cancelTurn', 'cancelResponse', 'sayComing', 'forkSession'],
  ...['createConversation', 'updateConversation', 'addItems', 'updateChatCompletion'],
];

const access: Access = {
  asks: true,
  onlyLocal: false,
  authenticate: () => ({ name: 'shop', scopes: new Set(['service']), userId: 'shop' as UserId }),
};
const noted: string[] = [];
let app: App;
beforeAll(async () => {
  app = await appOver(await contextManagerRig(), access, { note: (act) => void noted.push(act) });
});
afterAll(() => app.close());

it('whatever destroys or administers is noted, and every other operation is known to be use', async () => {
  const { paths } = (await app.inject('/openapi.json')).json<Json>();
  const acts: Record<string, string> = {};
  const unnoted: string[] = [];
  for (const [path, methods] of Object.entries<Json>(paths))
    for (const [method, { operationId }] of Object.entries<Json>(methods)) {
      noted.length = 0;
      const url = path.replaceAll(/\{(\w+)\}/g, (_, name) => (name === 'receipt_id' ? 'ab'.repeat(16) : 'mallory'));
      const body = ['post', 'put', 'patch'].includes(method) ? { payload: {} } : {};
      await app.inject({ method: method.toUpperCase() as 'GET', url, headers: { authorization: 'Bearer x' }, ...body });
      const [act] = noted;
      if (act !== undefined) acts[operationId] = act;
      else if (method !== 'get') unnoted.push(operationId);
    }
  expect(acts).toEqual(ACTS);
  expect(unnoted.sort()).toEqual([...USE].sort());
});
