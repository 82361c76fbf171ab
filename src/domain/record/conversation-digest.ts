import { hash } from 'node:crypto';
import type { Extensions } from './extensions.ts';
import {
  type ContentPart,
  type MessageContent,
  plainText,
  type TextPart,
  type ThinkingPart,
} from './message-content.ts';
import type { Message, SessionRecord } from './turn-record.ts';

declare const brand: unique symbol;
/** 32 lower-case hex digits: names a conversation by what is said in it, from its first message on. */
export type ConversationDigest = string & { readonly [brand]: 'ConversationDigest' };

const DIGEST_BYTES = 16;
const CONVERSATION = 'discedge.conversation';

/**
 * The digest of a conversation that goes on with `message`; `before`: of all messages before it, `undefined` where it is the
 * first. It names what people and tools said: a text is the same in one part as in none, and arguments of a call are what they
 * are as JSON, whatever white space they were written with; an assistant thinks, says and calls, in whatever order its parts are told.
 */
export function digestAfter(before: ConversationDigest | undefined, { role, content }: Message): ConversationDigest {
  const text = JSON.stringify([before ?? '', role, role === 'assistant' ? replied(content) : said(content)]);
  return hash('sha256', text).slice(0, 2 * DIGEST_BYTES) as ConversationDigest;
}

function replied(content: MessageContent): unknown {
  if (typeof content === 'string') return ['', content];
  const joined = (wanted: 'text' | 'thinking') =>
    content.flatMap((one) => (one.type === wanted ? [(one as TextPart | ThinkingPart).text] : [])).join('');
  const others = content.filter(({ type }) => type !== 'text' && type !== 'thinking');
  return [joined('thinking'), joined('text'), ...others.map(part)];
}

function said(content: MessageContent): unknown {
  if (typeof content === 'string') return content;
  const [only] = content;
  if (content.length < 2) return only === undefined || only.type === 'text' ? (plainText(content) ?? '') : [part(only)];
  return content.map(part);
}

function part(one: ContentPart): unknown {
  switch (one.type) {
    case 'text':
    case 'thinking':
      return [one.type, one.text];
    case 'image':
    case 'audio':
      return [one.type, one.digest];
    case 'tool-call':
      return [one.type, one.callId, one.name, asJson(one.arguments)];
    case 'tool-result':
      return [one.type, one.callId, one.isError, one.output];
    default:
      return one satisfies never;
  }
}

function asJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

/** By which conversations a record is found. */
export interface RecordConversations {
  /** Up to its reply: the request that it answers. */
  readonly asked: ConversationDigest;
  /** With its reply, once for each way in which a client may have it: with what the model thought, and without. */
  readonly answered: readonly ConversationDigest[];
}

/** As a record carries it. */
export function conversationExtension({ asked, answered }: RecordConversations): Extensions {
  return new Map([[CONVERSATION, Uint8Array.from(Buffer.from([asked, ...answered].join(''), 'hex'))]]);
}

/** `undefined` for a record that is found by its session alone. */
export function conversationsOf({ extensions }: Pick<SessionRecord, 'extensions'>): RecordConversations | undefined {
  const bytes = extensions?.get(CONVERSATION);
  if (bytes === undefined || bytes.length === 0 || bytes.length % DIGEST_BYTES !== 0) return undefined;
  const hex = Buffer.from(bytes).toString('hex');
  const digests = (hex.match(/.{32}/g) ?? []) as string[] as ConversationDigest[];
  return { asked: digests[0] as ConversationDigest, answered: digests.slice(1) };
}
