import type { ContentPart } from '../../domain/record/message-content.ts';

/**
 * What has become certain of one part of a reply. `index` is its place in {@link Reply.parts}; a part's deltas come one after
 * another, and no two parts' are mixed. Put together they are the parts of the whole reply. A tool call's first delta may have
 * no arguments yet.
 */
export type PartDelta =
  | { readonly index: number; readonly type: 'text' | 'thinking'; readonly text: string }
  | {
      readonly index: number;
      readonly type: 'tool-call';
      readonly callId: string;
      readonly name: string;
      readonly arguments: string;
    };

/** A reply that is nothing but its text. */
export function textParts(text: string): readonly ContentPart[] {
  return text === '' ? [] : [{ type: 'text', text }];
}
