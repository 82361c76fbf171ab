import { NO_LAYERS } from '../context-manager/layers/layer.ts';
import { tokenizedMode } from '../context-manager/modes/tokenized.ts';
import type { CachedSession } from '../context-manager/sessions/session-cache.ts';
import { OWN_REQUEST } from '../context-manager/turn/own-request.ts';
import { ReplyReading } from '../context-manager/turn/reply/reply-reader.ts';
import type { TurnRequest } from '../context-manager/turn/turn.ts';
import type {
  ContextId,
  Incarnation,
  KeygroupId,
  NodeId,
  RequestDigest,
  SessionId,
  TurnNumber,
  UserId,
} from '../domain/identifiers.ts';
import type { IdMark } from '../domain/record/message-content.ts';
import { sealRecord } from '../domain/record/record-codec.ts';
import type { Message, TurnRecord } from '../domain/record/turn-record.ts';
import { SessionHistory } from '../domain/session/session-history.ts';
import type { TokenId } from '../domain/token-sequence.ts';
import type { ChatTemplate, ConversationTrait } from '../llm-service/chat-template.ts';
import { NO_USAGE, type Vocabulary } from '../llm-service/llm-service.ts';

/** Turns of the standard conversation. */
export const REHEARSED_TURNS = 6;

const SYSTEM = 'You are a helpful assistant who answers in one sentence.';
const QUESTION = 'What is the capital of the country that lies north of the one we spoke of just now?';
const RESULT = '{"country": "Denmark", "capital": "Copenhagen", "inhabitants": 660842}';
const TOOL = {
  name: 'capital_of',
  description: 'Tells the capital of a country.',
  parameters: { type: 'object', properties: { country: { type: 'string' } }, required: ['country'] },
};
const THOUGHT = 'The country before was Germany, north of it is Denmark, and so it is the capital of that.';
const ANSWER = 'It is Copenhagen, which lies on the islands of Zealand and Amager.';

const KEY = {
  keygroup: '0'.repeat(16) as KeygroupId,
  userId: 'rehearsal' as UserId,
  sessionId: 'rehearsal' as SessionId,
};

/**
 * Ids of the context so far that each turn of the standard conversation evaluates again because of the template: six turns
 * of about forty ids with the trait, as a node composes them. Throws what the template throws.
 */
export async function rehearse(
  trait: ConversationTrait,
  template: ChatTemplate,
  { vocabulary, endToken }: { readonly vocabulary: Vocabulary; readonly endToken: string },
): Promise<number[]> {
  const mode = tokenizedMode(vocabulary, template, new ReplyReading(vocabulary, template));
  const session: CachedSession = {
    key: KEY,
    history: new SessionHistory(),
    deleted: false,
    corrupt: 0,
    tokens: undefined,
  };
  const text = (trait === 'thinking' ? `${THOUGHT}${template.reasoning?.end ?? ''}\n\n` : '') + ANSWER;
  const ids = await vocabulary.tokenize(text + endToken, { parseSpecial: true });
  const rewritten: number[] = [];
  for (let turn = 1; turn <= REHEARSED_TURNS; turn++) {
    const base = session.history.tip;
    const request = requestOf(trait, messagesOf(trait, turn));
    const prompt = await mode.build({ request, session, base, replyTokens: 1, layers: NO_LAYERS });
    const reply = { kind: 'end', ids, text, exact: true, stop: { kind: 'end' }, usage: NO_USAGE } as const;
    const sealed = sealRecord(
      recordOf(turn, base?.hash, await prompt.record(reply, { parts: [], calls: callsOf(trait, turn, ids) })),
    );
    session.history.add(sealed);
    prompt.kept(sealed);
    rewritten.push(prompt.rewrittenTokens);
  }
  return rewritten;
}

/** Every other turn of a conversation with tools ends in a call, which the next one answers. */
function messagesOf(trait: ConversationTrait, turn: number): Message[] {
  if (trait === 'tools' && turn % 2 === 0) {
    return [{ role: 'tool', content: [{ type: 'tool-result', callId: 'call', isError: false, output: RESULT }] }];
  }
  const asked: Message = { role: 'user', content: QUESTION };
  return trait === 'system' && turn === 1 ? [{ role: 'system', content: SYSTEM }, asked] : [asked];
}

function callsOf(trait: ConversationTrait, turn: number, { length }: readonly TokenId[]): IdMark[] {
  if (trait !== 'tools' || turn % 2 === 0) return [];
  const part = { type: 'tool-call', callId: 'call', name: TOOL.name, arguments: '{}' } as const;
  return [{ segment: 'reply', start: 0, length, part }];
}

function requestOf(trait: ConversationTrait, messages: readonly Message[]): TurnRequest {
  return {
    ...OWN_REQUEST,
    ...(trait === 'tools' && { preamble: { instructions: undefined, tools: [TOOL] } }),
    ...{ userId: KEY.userId, sessionId: KEY.sessionId, place: { tip: 'new' }, mode: 'tokenized', messages },
  };
}

function recordOf(
  turn: number,
  parent: ContextId | undefined,
  kept: Pick<TurnRecord, 'payload' | 'extensions'>,
): TurnRecord {
  return {
    kind: 'turn',
    ...KEY,
    origin: 'rehearsal' as NodeId,
    incarnation: '0'.repeat(8) as Incarnation,
    writtenAtMs: 0,
    expiresAtMs: 0,
    turn: turn as TurnNumber,
    parent,
    requestDigest: String(turn).padStart(16, '0') as RequestDigest,
    contextStart: 1 as TurnNumber,
    stop: { kind: 'end' },
    sampling: { temperature: undefined, seed: undefined, maxTokens: undefined },
    ...kept,
  };
}
