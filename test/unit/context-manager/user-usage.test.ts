// Asks what more users have than are held in mind, none of whom has anything: a service may name any number.
import { expect, it } from 'vitest';
import { UserUsage } from '../../../src/context-manager/sessions/user-usage.ts';
import type { KeygroupId, UserId } from '../../../src/domain/identifiers.ts';

const keygroup = 'a'.repeat(32) as KeygroupId;

it('users who have nothing are not held without end', async () => {
  const listed: UserId[] = [];
  const records = {
    list: async ({ userId }: { userId: UserId }) => {
      listed.push(userId);
      return { sessions: [], next: undefined };
    },
    onRecord: () => () => {},
    onRemoved: () => () => {},
  } as unknown as ConstructorParameters<typeof UserUsage>[0];
  const usage = new UserUsage(records, () => [keygroup]);
  const ask = (name: string) => usage.of(name as UserId);
  for (let i = 0; i <= 10_000; i++) await ask(`u${i}`);
  await ask('u10000');
  expect(listed).toHaveLength(10_001);
  await ask('u0');
  expect(listed).toHaveLength(10_002);
});
