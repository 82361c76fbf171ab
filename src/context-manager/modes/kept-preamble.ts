import type { KeptPreamble, Preamble } from '../../domain/record/preamble.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { EMPTY_PREAMBLE, type PromptPreamble, ToolList } from '../../llm-service/chat-template.ts';

/** What stood before a line of turns in the prompt of its last; `undefined`: nothing. */
export function lastPreamble(line: readonly Turn[]): KeptPreamble | undefined {
  return line.findLast(({ record }) => record.preamble !== undefined)?.record.preamble;
}

/** As ids are composed with it. Any but that of a tokenized turn is a defect. */
export function promptPreamble(kept: KeptPreamble | undefined): PromptPreamble {
  if (kept === undefined) return EMPTY_PREAMBLE;
  const { instructions, tools } = kept;
  if (typeof instructions === 'string') throw new TypeError('instructions without their ids');
  return { instructions, tools: new ToolList(tools) };
}

/** As text. Any but that of a raw turn is a defect. */
export function textPreamble(kept: KeptPreamble | undefined): Preamble | undefined {
  if (kept === undefined) return undefined;
  const { instructions, tools } = kept;
  if (instructions !== undefined && typeof instructions !== 'string')
    throw new TypeError('instructions without their text');
  return { instructions, tools };
}
