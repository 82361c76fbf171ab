// Lists the sessions of several models whose stores give short pages, and tries to lose, repeat or misplace one.
import { expect, it } from 'vitest';
import { ModelDirectory, type ServedModel } from '../../../src/context-manager/model-directory.ts';
import { NodeSessions } from '../../../src/context-manager/node-sessions.ts';
import type { SessionId } from '../../../src/domain/identifiers.ts';
import { sessionKey } from '../../../tools/turn-records.ts';

const LOOKED_AT = 3;

/** Holds sessions by id, some of them over, and looks at so many in one call. */
function model(name: string, ids: readonly string[], over: readonly string[]) {
  const list = async ({ after, limit }: { after: SessionId | undefined; limit: number }) => {
    const following = [...ids, ...over].sort().filter((id) => after === undefined || id > after);
    const looked = following.slice(0, LOOKED_AT);
    const listed = looked.filter((id) => ids.includes(id)).slice(0, limit);
    const last = listed.length === limit ? listed.at(-1) : looked.at(-1);
    const next = last === undefined || last === following.at(-1) ? undefined : sessionKey(last);
    return { sessions: listed.map((id) => ({ key: sessionKey(id) })), next };
  };
  return { name, contextManager: { sessions: { list } } };
}

it.each([1, 2, 3, 10])('shows each session of every model once and in order, %i at a time', async (limit) => {
  const models = [
    model('one', ['a', 'd', 'z'], ['b', 'c', 'e', 'f', 'g', 'h']),
    model('two', ['a', 'c', 'd', 'e', 'x'], []),
    model('three', [], ['a', 'y', 'z', 'zz', 'zzz']),
  ];
  const sessions = new NodeSessions(new ModelDirectory(models as unknown as ServedModel[]));
  const found: string[] = [];
  let after: SessionId | undefined;
  do {
    const page = await sessions.list({ model: undefined, userId: 'ada' as never, after, limit });
    found.push(...page.sessions.map(({ model: { name }, summary }) => `${summary.key.sessionId} ${name}`));
    after = page.next;
  } while (after !== undefined);
  expect(found).toEqual(['a one', 'a two', 'c two', 'd one', 'd two', 'e two', 'x two', 'z one']);
});
