// Finds every route of the node, whether or not its document tells of it, and asks each without a key, with a user's and with an
// operator's. A route that is added is for users, or stands here; and one with somebody's id in it is asked for another's.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Access } from '../../../src/access/access.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import type { App } from '../../../src/http/app.ts';
import type { Json } from '../../../tools/test-node.ts';
import { appOver } from '../../support/app-rig.ts';
import { contextManagerRig } from '../../support/context-manager-rig.ts';

/** Whoever asks is told: nothing of anybody's. */
const FOR_ANYONE = ['GET /health', 'GET /v1/health', 'GET /ready', 'GET /openapi.json'];
const FOR_OPERATORS = ['GET /metrics'];
/** Each is told, or may do, other things. */
const FOR_BOTH = [
  'GET /nodes',
  'DELETE /users/:user_id',
  'GET /users/:user_id/erasures/:receipt_id',
  'GET /users/:user_id/lifetime',
  'PUT /users/:user_id/lifetime',
  'DELETE /users/:user_id/lifetime',
];
const NOT_DOCUMENTED = ['GET /openapi.json'];

/** Keys are `user` or `operator`, and name whose they are. */
const access: Access = {
  asks: true,
  onlyLocal: false,
  authenticate({ bearer }) {
    const [scope = '', user = ''] = (bearer ?? '').split('-');
    if (!['user', 'operator'].includes(scope)) throw new DiscedgeError('unauthorized', 'no key');
    return { name: bearer ?? '', scopes: new Set([scope as Scope]), userId: user as UserId };
  },
};

let app: App;
let routes: readonly { readonly method: string; readonly path: string }[];
beforeAll(async () => {
  app = await appOver(await contextManagerRig(), access);
  routes = routesOf(app.printRoutes({ commonPrefix: false }));
});
afterAll(() => app.close());

/** `├── /sessions/:session_id (GET, HEAD, DELETE)` and so on, each below what it begins with. */
function routesOf(tree: string): { method: string; path: string }[] {
  const before: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const [, indent = '', part = '', methods] = /^([│ ]*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?$/.exec(line) ?? [];
    const level = indent.length / 4;
    before.splice(level, before.length, part);
    const path = before.join('');
    const listed = (methods ?? '').split(', ').filter((method) => !['', 'HEAD', 'OPTIONS'].includes(method));
    return listed.map((method) => ({ method, path }));
  });
}

async function statusOf({ method, path }: { method: string; path: string }, key: string | undefined): Promise<number> {
  const url = path.replaceAll(/:(\w+)/g, (_, name) => (name === 'receipt_id' ? 'ab'.repeat(16) : 'mallory'));
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const body = ['POST', 'PUT', 'PATCH'].includes(method) ? { payload: {} } : {};
  return (await app.inject({ method: method as 'GET', url, headers, ...body })).statusCode;
}

const nameOf = ({ method, path }: { method: string; path: string }) =>
  `${method} ${path === '/' ? path : path.replace(/\/$/, '')}`;

it('all routes are found, and all but a few are in the document', async () => {
  const { paths } = (await app.inject('/openapi.json')).json<Json>();
  const documented = Object.entries<Json>(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  );
  expect(documented.length).toBeGreaterThan(40);
  const found = [...new Set(routes.map(nameOf))];
  expect(found.sort()).toEqual([...documented, ...NOT_DOCUMENTED].sort());
});

it('without a key nothing is told but what anyone may know', async () => {
  const open: string[] = [];
  for (const route of routes) if ((await statusOf(route, undefined)) !== 401) open.push(nameOf(route));
  expect([...new Set(open)].sort()).toEqual([...FOR_ANYONE].sort());
});

it('an operator has no sessions, and a user does not operate', async () => {
  const [forOperators, notForUsers]: [string[], string[]] = [[], []];
  for (const route of routes) {
    if ((await statusOf(route, 'operator-root')) !== 403) forOperators.push(nameOf(route));
    if ((await statusOf(route, 'user-mallory')) === 403) notForUsers.push(nameOf(route));
  }
  expect([...new Set(forOperators)].sort()).toEqual([...FOR_ANYONE, ...FOR_OPERATORS, ...FOR_BOTH].sort());
  expect([...new Set(notForUsers)].sort()).toEqual(FOR_OPERATORS);
});
