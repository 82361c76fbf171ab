import { SealedIds } from '../../../src/domain/encryption/sealed-ids.ts';
import { ANONYMOUS, type KeygroupId, type SessionId, type UserId } from '../../../src/domain/identifiers.ts';
import { ANYONE, type Principal } from '../../../src/domain/principals/principal.ts';
import type { AnswerId } from '../../../src/domain/record/answer-id.ts';
import { Compactions } from '../../../src/http/dialects/openai/responses/compaction.ts';
import { decodeNote } from '../../../src/http/dialects/openai/responses/response-note.ts';
import { ResponseIds } from '../../../src/http/dialects/openai/responses/response-ref.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const user: Principal = { name: 'key', scopes: new Set(['user']), userId: 'ada' as UserId };
const PREFIXES = ['resp_', 'conv_', 'msg_', 'rs_', 'fc_', 'fco_', 'chatcmpl-', 'cmp_'];

/** Ids and summaries that clients send back. Nothing that is not sealed opens; and what a later version sealed is nothing. */
export const open: OpenTarget = () => {
  const sealed = new SealedIds(new Uint8Array(32).fill(7));
  const [ids, summaries] = [new ResponseIds(sealed), new Compactions(sealed)];
  const keygroup = '0011223344556677' as KeygroupId;
  const key = { keygroup, userId: ANONYMOUS, sessionId: '00000000-0000-4000-8000-000000000000' as SessionId };
  const ref = { ...key, userId: 'ada' as UserId, sessionId: 'mine' as SessionId, answerId: 'ab'.repeat(8) as AnswerId };
  const texts = [ids.response(ref), ids.conversation(key), ids.item('msg_', { ...ref, side: 'in', index: 1 })];
  const all = [...texts, ids.completion([ref, ref]), summaries.seal('A summary.', 'ada' as UserId)];
  const contents = all.map((id) => sealed.open(PREFIXES.find((prefix) => id.startsWith(prefix)) ?? '', id));
  const opens = (id: string, who: Principal) => [
    ids.openResponse(id, who),
    ids.openConversation(id, who),
    ids.openItem(id, who),
    ids.openCompletion(id, who),
    summaries.open(id, who.userId),
  ];
  return {
    seeds: [...all, ...contents.map((content) => content ?? '')],
    words: PREFIXES,
    check(input) {
      const text = input.toString('utf8');
      if (!all.includes(text) && opens(text, ANYONE).some((opened) => opened !== undefined)) throw new Error('forged');
      for (const prefix of PREFIXES) opens(sealed.seal(prefix, input), user);
      decodeNote(input);
    },
  };
};
