import { createHash } from 'node:crypto';
import type { RequestDigest } from '../../domain/identifiers.ts';
import { repairedExtension } from '../../domain/record/repaired.ts';
import type { Message } from '../../domain/record/turn-record.ts';
import type { AnsweredTurn } from '../../domain/session-history.ts';
import type { RememberedTurn } from '../../domain/turn-repair.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { Mode } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import { withAdded } from './added-items.ts';
import { newTurnRecord } from './new-turn-record.ts';
import type { TurnRequest } from './turn.ts';
import type { OpenPass } from './turn-gate.ts';

/** What turns are repaired with. */
export interface RepairParts {
  readonly llm: Pick<LlmService, 'description' | 'tokenize'>;
  readonly node: NodeResources;
  /** How the context is kept of a session that goes on from there. */
  readonly modeOf: (request: TurnRequest, base: AnsweredTurn | undefined) => Mode;
}

/**
 * Puts the turns that a client hands over in the place of lost ones: records as any other, durable and replicated, that say
 * so of themselves. Written one by one: a repair that was broken off goes on from what there is. Returns the pass as if
 * nothing had been lost. Throws what a mode's `build` and the store throw.
 */
export async function repairTurns<Pass extends OpenPass>(
  request: TurnRequest,
  pass: Pass,
  parts: RepairParts,
): Promise<Pass> {
  let repaired = pass;
  for (const told of pass.lost ?? []) repaired = await repairTurn(request, repaired, told, parts);
  return repaired;
}

async function repairTurn<Pass extends OpenPass>(
  request: TurnRequest,
  pass: Pass,
  told: RememberedTurn,
  { llm, node, modeOf }: RepairParts,
): Promise<Pass> {
  const { records, options, environment, metrics } = node;
  const { session, base } = pass;
  const ids = told.reply === '' ? [] : await llm.tokenize(told.reply, { parseSpecial: false });
  const messages = messagesOf(told);
  const { preamble, form, extensions, conversation, ...plain } = request;
  const asTold: TurnRequest = { ...plain, messages, sampling: {}, stop: [], maxTokens: undefined };
  const answered = session.history.lastAnswered(base);
  const asked = withAdded(asTold, session.history.addedUpTo(base));
  const input = { request: asked, session, base: answered, replyTokens: ids.length };
  const prompt = await modeOf(request, answered).build(input);
  // Its ids have no end token, as if a limit had cut it: the next turn begins with that.
  const reply = { kind: 'end', text: told.reply, ids, exact: false, stop: { kind: 'limit' }, usage } as const;
  const kept = await prompt.record(reply, { parts: [], calls: [] });
  const marks = records.marksFor(session.key, base?.record);
  const record = newTurnRecord(
    asTold,
    { ...pass, digest: digestOf(told) },
    {
      ...{ prompt, stop: { kind: 'limit' }, kept, parts: [], writtenAtMs: environment.clock.now() },
      isOver: (ms) => records.isOver(ms),
      cost: { promptTokens: prompt.ids.length, usage },
      marks: { extensions: new Map([...repairedExtension(told.contextId), ...(marks.extensions ?? [])]) },
    },
    options,
  );
  const sealed = await records.write(record);
  prompt.kept(sealed);
  metrics.turnRepaired(llm.description.identity.name);
  // Read again: a session that has left the cache meanwhile does not hear of what is written.
  return { ...pass, session: await records.load(session.key), base: { hash: sealed.hash, record } };
}

function messagesOf({ system, prompt }: RememberedTurn): Message[] {
  const user: Message = { role: 'user', content: prompt };
  return system === undefined ? [user] : [{ role: 'system', content: system }, user];
}

const usage = { cachedTokens: 0, evaluatedTokens: 0, promptMs: 0, predictedTokens: 0, predictedMs: 0 };

/** No request is answered by it: what the turn was asked with is not known any more. */
function digestOf({ contextId }: RememberedTurn): RequestDigest {
  return createHash('sha256').update(`repair of ${contextId}`).digest('hex').slice(0, 16) as RequestDigest;
}
