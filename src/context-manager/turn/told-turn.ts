import type { RequestDigest } from '../../domain/identifiers.ts';
import type { Extensions } from '../../domain/record/extensions.ts';
import { withoutLayerStamps } from '../../domain/record/layer-stamps.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { AnsweredTurn } from '../../domain/session/session-history.ts';
import { type LlmService, NO_USAGE } from '../../llm-service/llm-service.ts';
import { NO_LAYERS } from '../layers/layer.ts';
import type { Mode } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import { withAdded } from './added-items.ts';
import { newTurnRecord } from './new-turn-record.ts';
import type { TurnRequest } from './turn.ts';
import type { OpenPass } from './turn-gate.ts';

/** What turns are written with that no model has answered here. */
export interface ToldTurnParts {
  readonly llm: Pick<LlmService, 'description' | 'tokenize'>;
  readonly node: NodeResources;
  /** How the context is kept of a session that goes on from there. */
  readonly modeOf: (request: TurnRequest, base: AnsweredTurn | undefined) => Mode;
}

/** A turn in words: what was asked is the request's, as it would be sent. */
export interface ToldTurn {
  readonly request: TurnRequest;
  readonly reply: string;
  readonly digest: RequestDigest;
  /** What its record says of where it comes from. */
  readonly from: Extensions;
  /** The record that it was read of, where it was kept here before: what erases that erases this. */
  readonly source?: TurnRecord;
}

/**
 * Writes a turn that is known in words: a record as any other, durable and replicated. Returns the pass of the turn after it. Throws
 * what a mode's `build` and the store throw.
 */
export async function writeToldTurn<Pass extends OpenPass>(
  { request, reply: text, digest, from, source }: ToldTurn,
  pass: Pass,
  { llm, node, modeOf }: ToldTurnParts,
): Promise<Pass> {
  const { records, options, environment, userLifetimes } = node;
  const { session, base } = pass;
  const ids = text === '' ? [] : await llm.tokenize(text, { parseSpecial: false });
  const answered = session.history.lastAnswered(base);
  const asked = withAdded(request, session.history.addedUpTo(base));
  const input = { request: asked, session, base: answered, replyTokens: ids.length, layers: NO_LAYERS };
  const prompt = await modeOf(request, answered).build(input);
  // Its ids have no end token, as if a limit had cut it: the next turn begins with that.
  const reply = { kind: 'end', text, ids, exact: false, stop: { kind: 'limit' }, usage: NO_USAGE } as const;
  const kept = withoutLayerStamps(await prompt.record(reply, { parts: [], calls: [] }));
  const marks = records.marksFor(session.key, base?.record ?? source);
  const record = newTurnRecord(
    request,
    { ...pass, digest },
    {
      ...{
        prompt,
        stop: { kind: 'limit' },
        windowIsFull: false,
        kept,
        parts: [],
        writtenAtMs: environment.clock.now(),
      },
      userTtlMs: userLifetimes.ttlMs(session.key.userId),
      isOver: (ms) => records.isOver(ms),
      cost: { promptTokens: prompt.ids.length, usage: NO_USAGE },
      marks: { extensions: new Map([...from, ...(marks.extensions ?? [])]) },
    },
    options,
  );
  const sealed = await records.write(record);
  prompt.kept(sealed);
  // Read again: a session that has left the cache meanwhile does not hear of what is written.
  return { ...pass, session: await records.load(session.key), base: { hash: sealed.hash, record } };
}
