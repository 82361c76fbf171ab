// Has sessions go in every way there is, and looks for one of which an LLM Service is not told.
import { beforeEach, expect, it } from 'vitest';
import { SessionRecords } from '../../../src/context-manager/sessions/session-records.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import { keygroupOf } from '../../../src/domain/cluster/model-identity.ts';
import { type SessionKey, sessionKeyText } from '../../../src/domain/identifiers.ts';
import { forgetRemovedSessions } from '../../../src/edge-node/kept-state/forget-removed-sessions.ts';
import { nodeTimeOver } from '../../../src/edge-node/time/timed-environment.ts';
import type { LlmService } from '../../../src/llm-service/llm-service.ts';
import { startScripted } from '../../../src/llm-service/scripted.ts';
import { HOUR_MS, sealedTombstone, sealedTurn, sessionKey, WRITTEN_AT_MS } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

let records: SessionRecords;
let forgotten: Set<string>;
let keygroup: string;
const environment = virtualEnvironment();
const keyOf = (session: string) => sessionKey(session, 'ada', keygroup);
const take = () => {
  const all = [...forgotten];
  forgotten.clear();
  return all;
};
const told = (...keys: SessionKey[]) => keys.map(sessionKeyText);

beforeEach(() => {
  forgotten = new Set();
  const scripted = startScripted({}, environment);
  const warming = { ...scripted.warming, forget: (affinity: string) => void forgotten.add(affinity) };
  const { description } = scripted;
  keygroup = keygroupOf(description.identity);
  const store = memoryStore({}, environment);
  const time = nodeTimeOver(environment.clock, {
    clockToleranceMs: 10_000,
    ttlSecondsMax: 86_400,
    kept: undefined,
    isShared: false,
  });
  records = new SessionRecords({ store, time, cacheBytesMax: 1_000_000 });
  forgetRemovedSessions([{ llm: { description, warming } as unknown as LlmService }], records, environment);
});

it('is told of sessions that are deleted, of one that has nothing yet too, and of those that expire', async () => {
  const [stored, opening, expiring] = ['stored', 'opening', 'expiring'].map(keyOf) as [
    SessionKey,
    SessionKey,
    SessionKey,
  ];
  await records.writeSealed(sealedTurn({ key: stored }));
  await records.writeSealed(sealedTurn({ key: expiring, expiresAtMs: WRITTEN_AT_MS + HOUR_MS }));
  expect(take()).toEqual([]);
  await records.writeSealed(sealedTombstone({ key: stored }));
  expect(take()).toEqual(told(stored));
  await records.writeSealed(sealedTombstone({ key: opening }));
  expect(take()).toEqual(told(opening));
  await environment.advance(2 * HOUR_MS);
  await records.removeExpired();
  expect(take()).toEqual(told(expiring));
});
