import { ByteReader, ByteWriter } from '../bytes.ts';
import { TOKEN_ID_MAX, type TokenId, type TokenSequence } from '../token-sequence.ts';
import type { Extensions } from './extensions.ts';
import type { TurnRecord } from './turn-record.ts';

/**
 * The end of a reply that is no part of the conversation, though the model wrote it: a stop word, which the client does not see,
 * and what of a character a limit left.
 */
export interface ReplyEnd {
  /** So many of the reply's last ids. */
  readonly hidden: number;
  /** Ids that stand in their place: the part that was shown of an id that was shown in part. */
  readonly instead: TokenSequence;
}

const REPLY_END = 'discedge.reply-end';
const NOTHING_HIDDEN: ReplyEnd = { hidden: 0, instead: [] };
/** Of one id's text. */
const INSTEAD_MAX = 1_024;

/** As a record carries it; none where nothing is hidden. */
export function replyEndExtension({ hidden, instead }: ReplyEnd): Extensions | undefined {
  if (hidden === 0) return undefined;
  const writer = new ByteWriter();
  writer.varint(hidden);
  writer.varint(instead.length);
  for (const id of instead) writer.varint(id);
  return new Map([[REPLY_END, Uint8Array.from(writer.view())]]);
}

/** Of all that a record carries, this alone. */
export function replyEndAlone({ extensions }: Pick<TurnRecord, 'extensions'>): Pick<TurnRecord, 'extensions'> {
  const bytes = extensions?.get(REPLY_END);
  return bytes === undefined ? {} : { extensions: new Map([[REPLY_END, bytes]]) };
}

/** Nothing is hidden where a record does not say, or what it says does not fit. */
export function replyEndOf({ extensions, payload }: Pick<TurnRecord, 'extensions' | 'payload'>): ReplyEnd {
  const bytes = extensions?.get(REPLY_END);
  if (bytes === undefined || payload.mode !== 'tokenized') return NOTHING_HIDDEN;
  try {
    const reader = new ByteReader(bytes);
    const hidden = reader.varint(payload.replyIds.length);
    const count = reader.varint(INSTEAD_MAX);
    const instead = Array.from({ length: count }, () => reader.varint(TOKEN_ID_MAX) as TokenId);
    return { hidden, instead };
  } catch {
    return NOTHING_HIDDEN;
  }
}

/** The ids of a reply that are part of the conversation. */
export function conversationIds(replyIds: TokenSequence, { hidden, instead }: ReplyEnd): TokenSequence {
  return hidden === 0 ? replyIds : [...replyIds.slice(0, replyIds.length - hidden), ...instead];
}
