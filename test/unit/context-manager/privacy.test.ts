// Puts a marker into everything a user says and the model answers, lets turns succeed and fail in every way, and looks for
// the marker, for token ids and for names of users and sessions where they must not be: metrics, log lines, errors.
import { describe, expect, it } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';
import { type Ask, contextManagerRig, type Rig, replicaRig } from '../../support/context-manager-rig.ts';

const MARKER = 'xyzzy-plugh';
/** The marker as the scripted model's ids, as they would be printed. */
const MARKER_IDS = [...Buffer.from(MARKER)].join(',');

/** Turns of every outcome; returns the errors. */
async function everyOutcome(rig: Rig): Promise<unknown[]> {
  const errors: unknown[] = [];
  const attempt = (ask: Ask) =>
    rig
      .turn({
        text: MARKER,
        user: 'user-name',
        session: 'session-name',
        maxWaitMs: 0,
        sampling: { grammar: MARKER },
        stop: [`${MARKER}!`],
        ...ask,
      })
      .catch((error) => void errors.push(error));
  await attempt({ turn: 1, system: MARKER });
  await attempt({ turn: 1, system: MARKER });
  await attempt({ turn: 1, text: `${MARKER} other` });
  await attempt({ turn: 2, mode: 'raw' });
  await attempt({ turn: 2, system: MARKER });
  await attempt({ turn: 9 });
  await attempt({ turn: 2, contextId: 'f'.repeat(32) });
  await attempt({ turn: 2, text: MARKER.repeat(1000) });
  for (const prompt of [[MARKER.repeat(1000)], [MARKER]]) {
    await rig
      .forward({ prompt, sampling: { grammar: MARKER }, stop: [`${MARKER}!`] })
      .catch((error) => void errors.push(error));
  }
  await attempt({ session: 'raw-session', turn: 1, mode: 'raw' });
  rig.llm.failNext('midway');
  await attempt({ turn: 2 });
  rig.store.failNext('append');
  await attempt({ turn: 2 });
  await attempt({ turn: 2, gone: AbortSignal.abort(new Error(MARKER)) });
  await rig.manager.sessions.delete('user-name' as never, 'session-name' as never);
  await attempt({ turn: 2 });
  return errors;
}

describe('what was said', () => {
  it('is in no metric of the real registry, and no label names a user or session', async () => {
    const { registry, metrics } = nodeEnvironment({ logLevel: 'silent', nodeId: 'n' });
    const rig = await replicaRig({ scripted: { contextTokens: 2000, reply: () => MARKER }, metrics });
    const errors = await everyOutcome(rig);
    const text = await registry.metrics();
    expect(text).toContain('discedge_turns_total{model="scripted",outcome="ok"}');
    for (const secret of [MARKER, MARKER_IDS, 'user-name', 'session-name']) expect(text).not.toContain(secret);
    const codes = errors.map((error) => (error as DiscedgeError).code);
    const outcomes = [...text.matchAll(/discedge_turns_total\{model="scripted",outcome="(\w+)"\}/g)].map(
      ([, outcome]) => outcome,
    );
    expect(new Set(outcomes)).toEqual(new Set(['ok', 'replayed', ...codes]));
    expect(outcomes.length).toBeGreaterThanOrEqual(9);
    const labels = new Set([...text.matchAll(/(\w+)="/g)].map(([, label]) => label));
    expect(labels).toEqual(new Set(['model', 'outcome', 'kind', 'from', 'mode', 'le']));
  });

  it('is in no log line and no error', async () => {
    const rig = await replicaRig({ scripted: { contextTokens: 2000, reply: () => MARKER } });
    const errors = await everyOutcome(rig);
    expect(errors.length).toBeGreaterThanOrEqual(9);
    const printed = [
      ...errors,
      ...rig.environment.logLines.flatMap(({ event, fields, error }) => [event, JSON.stringify(fields), error]),
    ]
      .map((value) => (value instanceof Error ? `${value.message}\n${value.stack}\n${value.cause}` : String(value)))
      .join('\n');
    for (const secret of [MARKER, MARKER_IDS]) expect(printed).not.toContain(secret);
    expect(errors.filter((error) => !(error instanceof DiscedgeError))).toEqual([]);
  });
});

describe('what is counted', () => {
  it('every turn once, by how it ended; ids as they were cached, evaluated and predicted', async () => {
    const rig = await contextManagerRig();
    await rig.turns('s', { to: 2 });
    await rig.turn({ session: 's', turn: 1 });
    rig.llm.failNext('midway');
    await rig.turn({ session: 's', turn: 3 }).catch(() => {});
    const turns = (outcome: string) => rig.metrics.metric('discedge_turns_total', { model: 'scripted', outcome });
    expect(await Promise.all(['ok', 'replayed', 'llm_unavailable'].map(turns))).toEqual([2, 1, 1]);
    const [first, second] = rig.llm.generations;
    const tokens = (kind: string) => rig.metrics.metric('discedge_tokens_total', { model: 'scripted', kind });
    const prompts = (first?.prompt.length ?? 0) + (second?.prompt.length ?? 0);
    expect((await tokens('cached')) + (await tokens('evaluated'))).toBe(prompts);
    expect(await tokens('predicted')).toBe((first?.end?.ids.length ?? 0) + (second?.end?.ids.length ?? 0));
    expect(rig.metrics.observations('discedge_turn_seconds', { model: 'scripted', mode: 'tokenized' })).toHaveLength(3);
  });
});
