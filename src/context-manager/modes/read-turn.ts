import { answerText } from '../../domain/record/message-content.ts';
import type { KeptPreamble, Preamble } from '../../domain/record/preamble.ts';
import type { Message, MessageSpan, TokenizedPayload } from '../../domain/record/turn-record.ts';
import type { Vocabulary } from '../../llm-service/llm-service.ts';
import type { ReplyReading } from '../turn/reply/reply-reader.ts';
import { markedCalls } from './known-calls.ts';
import type { StoredReply } from './mode.ts';

/** A message of a stored turn as it was said: its calls and results are parts again. */
export async function readMessage(
  { promptIds, marks }: TokenizedPayload,
  span: MessageSpan,
  { llm, reading }: { readonly llm: Vocabulary; readonly reading: ReplyReading },
): Promise<Message> {
  const { role, start, length } = span;
  const ids = promptIds.slice(start, start + length);
  const text = await llm.detokenize(ids);
  const calls = markedCalls(marks, 'prompt', span);
  if (calls.length > 0) return { role, content: await reading.stored({ text, ids, prompt: [], calls }) };
  const result = marks?.find(
    ({ segment, part, ...at }) =>
      segment === 'prompt' && part.type === 'tool-result' && at.start === start && at.length === length,
  );
  if (result?.part.type !== 'tool-result') return { role, content: text };
  return { role, content: [{ ...result.part, output: text }] };
}

/** The answer of a stored reply, without what the model thought and called; all of one that was never taken apart. */
export function answerOf({ reply, parts }: Pick<StoredReply, 'reply' | 'parts'>): string {
  return parts.length === 0 ? reply : answerText(parts);
}

export async function readPreamble({ instructions, tools }: KeptPreamble, llm: Vocabulary): Promise<Preamble> {
  const text = typeof instructions === 'object' ? await llm.detokenize(instructions) : instructions;
  return { instructions: text, tools };
}
