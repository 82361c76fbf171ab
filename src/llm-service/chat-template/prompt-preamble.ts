import { createHash } from 'node:crypto';
import type { ToolDefinition } from '../../domain/record/preamble.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';

/** What stands before a conversation, with its instructions in exact ids. */
export interface PromptPreamble {
  readonly instructions: TokenSequence | undefined;
  readonly tools: ToolList;
  /** What the node itself says first in the system message, whoever's it is; absent: nothing. In no record. */
  readonly layers?: LayerIds;
}

/** Context layers in exact ids. */
export interface LayerIds {
  /** In order; each with the ids that part it from the one before. At least one. */
  readonly pieces: readonly TokenSequence[];
  /** What parts them from whatever follows in the same message. */
  readonly joint: TokenSequence;
}

/** Tools as a template is told of them. */
export class ToolList {
  readonly definitions: readonly ToolDefinition[];
  /** Equal lists have equal keys; empty for no tools. */
  readonly key: string;

  constructor(definitions: readonly ToolDefinition[]) {
    this.definitions = definitions;
    this.key = definitions.length === 0 ? '' : createHash('sha256').update(JSON.stringify(definitions)).digest('hex');
  }

  get isEmpty(): boolean {
    return this.definitions.length === 0;
  }

  /** In the shape that templates expect, which is that of OpenAI's API. */
  get variable(): readonly object[] {
    return this.definitions.map(({ name, description, parameters }) => ({
      type: 'function',
      function: {
        name,
        ...(description !== undefined && { description }),
        parameters: parameters ?? { type: 'object', properties: {} },
      },
    }));
  }
}

export const NO_TOOLS = new ToolList([]);
export const EMPTY_PREAMBLE: PromptPreamble = { instructions: undefined, tools: NO_TOOLS };

export function samePreamble(a: PromptPreamble, b: PromptPreamble): boolean {
  return a.tools.key === b.tools.key && sameIds(a.instructions, b.instructions) && sameLayers(a.layers, b.layers);
}

export function sameLayers(a: LayerIds | undefined, b: LayerIds | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.pieces.length !== b.pieces.length) return false;
  return a.pieces.every((piece, index) => sameIds(piece, b.pieces[index]));
}

export function sameIds(a: TokenSequence | undefined, b: TokenSequence | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return a.length === b.length && a.every((id, index) => id === b[index]);
}
