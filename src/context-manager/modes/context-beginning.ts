import type { TurnNumber } from '../../domain/identifiers.ts';
import { beginningOf, type ContextBeginning, type Summary } from '../../domain/record/summary.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { ChatTemplate, Conversation, PromptPreamble, ReasoningPolicy } from '../../llm-service/chat-template.ts';
import type { KnownCalls } from './known-calls.ts';
import { WrittenTurn } from './written-turn.ts';

/** How a context begins, behind what stands before all conversations. */
export type Beginning = ContextBeginning<Summary>;

/** As the prompt of a line's last turn began. */
export function beginningOfLine(line: readonly Turn[]): Beginning {
  const contextStart = line.at(-1)?.record.contextStart ?? (1 as TurnNumber);
  const first = contextStart > 1 ? line.findLast(({ record }) => beginningOf(record) !== undefined) : undefined;
  return { contextStart, summary: first && beginningOf(first.record) };
}

/** A summary as one more turn of the conversation, before those that are left. */
export function summaryTurn(
  { through: turn, payload, stop, extensions }: Summary,
  parts: { readonly preamble: PromptPreamble; readonly calls: KnownCalls },
): WrittenTurn {
  const record = { kind: 'turn', turn, payload, stop, ...(extensions && { extensions }) } as TurnRecord;
  return new WrittenTurn({ record }, parts);
}

/** The turn as it stands behind another one than it was written behind, whose end it has in place of that one's. */
export async function behind(
  conversation: Conversation,
  turn: WrittenTurn,
  template: ChatTemplate,
  policy: ReasoningPolicy,
): Promise<WrittenTurn> {
  const any = [{ role: 'user' as const, content: '.' }];
  const { segment } = await template.continueSession(conversation, any, policy, turn.preamble);
  return turn.withLead(segment.ids.slice(0, segment.leadLength));
}
