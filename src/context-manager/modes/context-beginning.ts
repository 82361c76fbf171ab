import type { ContextBeginning, Summary } from '../../domain/record/summary.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { ChatTemplate, Conversation, PromptPreamble, ReasoningPolicy } from '../../llm-service/chat-template.ts';
import type { KnownCalls } from './known-calls.ts';
import { WrittenTurn } from './written-turn.ts';

/** How a context begins, behind what stands before all conversations. */
export type Beginning = ContextBeginning<Summary>;

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
