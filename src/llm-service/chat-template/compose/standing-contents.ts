import { appendTokens, type TokenId, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { PromptPreamble } from '../prompt-preamble.ts';
import type { StandingContents } from './segment-shape.ts';

/** Whether the prompt says instructions, where `system` is the session's own system message. */
export function saysInstructions({ instructions, layers }: PromptPreamble, system: TokenSequence | undefined): boolean {
  return instructions !== undefined || (layers !== undefined && system === undefined);
}

/**
 * What stands before a conversation under a preamble. Layers are no message of their own, of which many templates take only one: they
 * open the instructions, else the session's system message, and are instructions where there is neither.
 */
export function standingUnder(preamble: PromptPreamble, system: TokenSequence | undefined): StandingContents {
  const { layers, instructions } = preamble;
  if (layers === undefined) return { system, instructions };
  const lead: TokenId[] = [];
  for (const piece of layers.pieces) appendTokens(lead, piece);
  if (!saysInstructions(preamble, system)) {
    appendTokens(lead, layers.joint);
    return { system: followed(lead, system), systemLead: lead, instructions };
  }
  if (instructions === undefined) return { system, instructions: lead };
  appendTokens(lead, layers.joint);
  return { system, instructions: followed(lead, instructions) };
}

function followed(lead: TokenSequence, ids: TokenSequence = []): TokenId[] {
  const all = lead.slice();
  appendTokens(all, ids);
  return all;
}
