// What is said of a user, as nodes that were apart have written it: the same version counts at each, in whatever order they came, and
// what nobody here can read counts nowhere.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { UserDocument } from '../../../src/context-manager/documents/user-document.ts';
import type { NodeResources } from '../../../src/context-manager/node-resources.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import { contextManagerRig } from '../../support/context-manager-rig.ts';

const ADA = 'ada' as UserId;
const KIND = 'user-lifetime';
const isText = (value: unknown): value is string => typeof value === 'string';

const textsOf = (documents: NodeResources['documents']) =>
  new UserDocument({ documents, kind: KIND, field: 'text', isValue: isText });

const versions = fc.array(
  fc.oneof(
    fc.record({ text: fc.constantFrom('a', 'b', undefined), version: fc.integer({ min: 1, max: 4 }) }),
    fc.constantFrom({ text: 7, version: 9 }, { text: 'c', version: 0 }, { text: 'c', version: 1.5 }, 'c', null),
  ),
  { maxLength: 8 },
);

it('of several versions the newest counts, and of two of one number the same one everywhere', async () => {
  await fc.assert(
    fc.asyncProperty(
      versions.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
      async ([some, shuffled]) => {
        const found = [];
        for (const order of [some, shuffled]) {
          const contents = order.map((version) => Buffer.from(JSON.stringify(version)));
          const documents = { find: async () => ({ versions: contents, writtenAtMs: [], expiresAtMs: 1 }) };
          found.push(await textsOf(documents as never).get(ADA));
        }
        expect(found[0]).toEqual(found[1]);
        const readable = some.filter((one): one is { text: 'a'; version: number } => isReadable(one));
        expect(found[0]?.version).toBe(Math.max(0, ...readable.map(({ version }) => version)));
      },
    ),
  );
});

function isReadable(version: unknown): boolean {
  const { text, version: number } = Object(version) as { text?: unknown; version?: unknown };
  return Number.isSafeInteger(number) && (number as number) > 0 && (text === undefined || isText(text));
}

it('versions are numbered one after the other, whoever writes at once, and one that is no news is not written', async () => {
  const { node } = await contextManagerRig();
  const texts = textsOf(node.documents);
  expect(await texts.get(ADA)).toEqual({ value: undefined, version: 0 });
  const written = await Promise.all(['a', 'b', 'c'].map((text) => texts.put(ADA, text)));
  expect(written.map(({ version }) => version)).toEqual([1, 2, 3]);
  expect(await texts.put(ADA, 'd', (before) => before?.value !== 'c')).toMatchObject({ version: 3 });
  expect(await texts.get(ADA)).toEqual({ value: 'c', version: 3 });
  await texts.prolong(ADA);
  expect(await texts.get(ADA)).toEqual({ value: 'c', version: 3 });
  expect((await node.documents.versions(KIND, ADA)).length).toBe(4);
  expect(await texts.put(ADA, undefined)).toEqual({ value: undefined, version: 4 });
});
