import type { ContentPart } from '../../../domain/record/message-content.ts';

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

/** A whole reply at once. */
export function wholeDeltas(parts: readonly ContentPart[]): readonly PartDelta[] {
  return parts.flatMap((part, index): PartDelta[] => {
    if (part.type === 'text' || part.type === 'thinking') return [{ index, type: part.type, text: part.text }];
    if (part.type !== 'tool-call') return [];
    return [{ index, type: part.type, callId: part.callId, name: part.name, arguments: part.arguments }];
  });
}
