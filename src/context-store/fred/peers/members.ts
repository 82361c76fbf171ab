import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { NodeId } from '../../../domain/identifiers.ts';
import { isBox } from '../names.ts';

const text = (pattern: string) => Type.String({ pattern, maxLength: 256 });

const member = Type.Object({
  nodeId: Type.Unsafe<NodeId>(text('^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$')),
  /** Its FReD node, as FReD knows it. */
  fredNode: text('^[\\x20-\\x7e]+$'),
  /** Where that is told what is for this node. */
  box: text('^[a-z0-9]+$'),
  /** When it was written, by its own clock: the latest counts. */
  atMs: Type.Number(),
});

/** What a node writes of itself into the members' keygroup. The rest is said when it is greeted. */
export type MemberItem = Static<typeof member>;

const check = Compile(member);

export function encodeMember(item: MemberItem): string {
  return JSON.stringify(item);
}

/** `undefined` for anything else. */
export function decodeMember(value: string): MemberItem | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (!check.Check(parsed) || !isBox(parsed.box)) return undefined;
    const { nodeId, fredNode, box, atMs } = parsed;
    return { nodeId, fredNode, box, atMs };
  } catch {
    return undefined;
  }
}
