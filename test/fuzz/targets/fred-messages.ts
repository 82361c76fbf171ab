import { itemId, parseItemId } from '../../../src/context-store/fred/names.ts';
import { decodeEnvelope, encodeEnvelope } from '../../../src/context-store/fred/peers/envelope.ts';
import { decodeMember, encodeMember } from '../../../src/context-store/fred/peers/members.ts';
import { packBytes, unpackBytes } from '../../../src/context-store/fred/seven-bit.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import type { OpenTarget } from '../fuzz-target.ts';

/** What others write into FReD: messages, members, names and values of items. */
export const open: OpenTarget = () => ({
  seeds: [
    encodeEnvelope({ kind: 'question', from: 'e1' as NodeId, number: 7, data: Buffer.from('who') }),
    encodeMember({ nodeId: 'e1' as NodeId, fredNode: 'nodeA', box: `dceb${'0'.repeat(16)}`, atMs: 1 }),
    itemId({ nodeCode: '0a', start: '0badcafe', number: 12 }),
    packBytes(Buffer.from([0, 1, 2, 250, 255])),
  ],
  check(input) {
    const text = input.toString('utf8');
    for (const value of [text, packBytes(input)]) {
      const envelope = decodeEnvelope(value);
      if (envelope !== undefined && decodeEnvelope(encodeEnvelope(envelope))?.from !== envelope.from)
        throw new Error('another envelope');
    }
    const member = decodeMember(text);
    if (member !== undefined && decodeMember(encodeMember(member))?.box !== member.box)
      throw new Error('another member');
    const id = parseItemId(text);
    if (id !== undefined && itemId(id) !== text) throw new Error('another item');
    const unpacked = unpackBytes(packBytes(input));
    if (unpacked === undefined || !input.equals(unpacked)) throw new Error('other bytes');
    unpackBytes(text);
  },
});
