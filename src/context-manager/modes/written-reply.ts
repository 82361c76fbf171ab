import type { ContentPart, IdMark } from '../../domain/record/message-content.ts';
import type { ReplyEnd } from '../../domain/record/reply-end.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import { type ChatTemplate, trimStart, type WrittenReasoning } from '../../llm-service/chat-template.ts';
import type { GenerationEnd, Vocabulary } from '../../llm-service/llm-service.ts';

/** What the ids of a reply are, beside its answer. */
export interface WrittenReply {
  readonly marks: readonly IdMark[];
  readonly end: ReplyEnd;
  /** The text that was shown, where it is not that of the ids. */
  readonly replyText: string | undefined;
}

/** White space between reasoning and answer is a line break or two; what is beyond that is the answer's. */
const WHITE_SPACE_IDS_MAX = 8;
/** Of UTF-8. */
const CHARACTER_BYTES_MAX = 4;

interface Parts {
  readonly llm: Vocabulary;
  readonly template: ChatTemplate;
}

/**
 * Reads a reply that was just written: where its reasoning ends, and what at its end is no part of the conversation. Where the
 * LLM Service cannot say now what ids show, all of them are, and the text is kept beside them: the turn is not lost for it.
 */
export async function writtenReply(reply: GenerationEnd, { llm, template }: Parts): Promise<WrittenReply> {
  const text = await llm.detokenize(reply.ids).catch(() => undefined);
  const end = (await replyEnd(reply, text, llm).catch(() => undefined)) ?? { hidden: 0, instead: [] };
  const { reasoning } = template;
  const length =
    reasoning === undefined ? 0 : await reasoningLength(reply.ids, reasoning, { llm, template }).catch(() => 0);
  return {
    marks: length === 0 ? [] : [{ segment: 'reply', start: 0, length, part: { type: 'thinking' } }],
    end,
    replyText: text !== undefined && shown(text, reply) === reply.text ? undefined : reply.text,
  };
}

/** How many ids of a reply that is not stored are reasoning; all of them where it was cut before its answer. */
export async function reasoningTokens(
  { ids }: Pick<GenerationEnd, 'ids'>,
  read: readonly ContentPart[],
  { llm, template }: Parts,
): Promise<number> {
  if (template.reasoning === undefined) return 0;
  if (read.length > 0 && read.every(({ type }) => type === 'thinking')) return ids.length;
  return reasoningLength(ids, template.reasoning, { llm, template }).catch(() => 0);
}

/** The text a client sees of a reply's: without the stop word, and a character cut off by the limit. */
export function shown(text: string, { stop }: Pick<GenerationEnd, 'stop'>): string {
  if (stop.kind === 'word') {
    const at = text.indexOf(stop.word);
    return at === -1 ? text : text.slice(0, at);
  }
  return stop.kind === 'limit' ? text.replace(/\ufffd+$/, '') : text;
}

async function replyEnd(
  reply: GenerationEnd,
  written: string | undefined,
  llm: Vocabulary,
): Promise<ReplyEnd | undefined> {
  const { ids, stop, text } = reply;
  switch (stop.kind) {
    case 'end':
      return undefined;
    case 'limit': {
      const hidden = idsOfHalfCharacter(await llm.pieces(ids.slice(-CHARACTER_BYTES_MAX)));
      return { hidden, instead: [] };
    }
    case 'word':
      return written === undefined || !written.startsWith(text) ? undefined : behindText(ids, text, llm);
    default:
      return stop satisfies never;
  }
}

/** How many of the last ids are nothing but the beginning of a character. */
function idsOfHalfCharacter(pieces: readonly Uint8Array[]): number {
  let left = halfCharacterBytes(Buffer.concat(pieces));
  let ids = 0;
  for (let index = pieces.length - 1; index >= 0 && left > 0; index--) {
    const { length } = pieces[index] as Uint8Array;
    if (length > left) break;
    left -= length;
    ids++;
  }
  return ids;
}

async function endsInHalf(ids: TokenSequence, llm: Vocabulary): Promise<boolean> {
  return halfCharacterBytes(Buffer.concat(await llm.pieces(ids.slice(-CHARACTER_BYTES_MAX)))) > 0;
}

/** Bytes at the end that begin a UTF-8 character and do not end it. */
function halfCharacterBytes(bytes: Uint8Array): number {
  for (let length = 1; length < CHARACTER_BYTES_MAX && length <= bytes.length; length++) {
    const byte = bytes[bytes.length - length] as number;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needed > length ? length : 0;
  }
  return 0;
}

/** What of the ids is behind `text`, with which they begin. The id in which it ends may show more than that. */
async function behindText(ids: TokenSequence, text: string, llm: Vocabulary): Promise<ReplyEnd | undefined> {
  let count = ids.length;
  let before = await llm.detokenize(ids);
  let all = before;
  while (count > 0 && before.startsWith(text)) {
    all = before;
    count--;
    before = await llm.detokenize(ids.slice(0, count));
  }
  // `count` ids show less than all of the text, and one more shows all of it, or more.
  if (count === 0 && text === '') return { hidden: ids.length, instead: [] };
  // A real U+FFFD looks like the half of it.
  while (text.endsWith('\ufffd') && count < ids.length - 1 && (await endsInHalf(ids.slice(0, count + 1), llm))) count++;
  if (all === text) return { hidden: ids.length - count - 1, instead: [] };
  if (!text.startsWith(before)) return undefined;
  const instead = await llm.tokenize(text.slice(before.length), { parseSpecial: false });
  return { hidden: ids.length - count, instead };
}

/** How many ids at the beginning of a reply are reasoning: its marks and the white space after it, where that goes too. */
async function reasoningLength(ids: TokenSequence, style: WrittenReasoning, { llm }: Parts): Promise<number> {
  const mark = style.endIds;
  let length = endOfLast(ids, mark);
  if (length === 0) length = await endOfText(ids, style.end, mark, llm);
  if (length === 0) return 0;
  const after = await llm.pieces(ids.slice(length, length + WHITE_SPACE_IDS_MAX));
  for (const piece of after) {
    const text = Buffer.from(piece).toString('utf8');
    if (text === '' || trimStart(text, style.trim) !== '') break;
    length++;
  }
  return length;
}

/** Behind the last occurrence of `part`; 0 where there is none. */
function endOfLast(ids: TokenSequence, part: TokenSequence): number {
  if (part.length === 0) return 0;
  for (let start = ids.length - part.length; start >= 0; start--) {
    if (part.every((id, index) => ids[start + index] === id)) return start + part.length;
  }
  return 0;
}

/** A mark of ordinary ids may have been written in others: found by its text. Control tokens have none. */
async function endOfText(ids: TokenSequence, end: string, mark: TokenSequence, llm: Vocabulary): Promise<number> {
  if (mark.length === 1) return 0;
  const at = (await llm.detokenize(ids)).lastIndexOf(end);
  if (at === -1) return 0;
  const target = at + end.length;
  let [low, high] = [1, ids.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((await llm.detokenize(ids.slice(0, middle))).length >= target) high = middle;
    else low = middle + 1;
  }
  const over = (await llm.detokenize(ids.slice(0, low))).slice(target);
  return over.trim() === '' ? low : 0;
}
