import { someAtOnce } from '../../src/waiting/some-at-once.ts';
import type { Told } from './crowd.ts';
import { said } from './turn-apis.ts';
import { asked, type TurnSender } from './turn-client.ts';

const AT_ONCE = 16;

/**
 * Looks for each turn that was acknowledged, by what it said, and for each response by its id: how many turns were found, and what was
 * not. `reader`: who may read it all, a service or the user itself, and is not limited in that.
 */
export async function lookFor(
  told: Told,
  reader: Pick<TurnSender, 'url' | 'key'>,
): Promise<{ readonly kept: number; readonly lost: readonly string[] }> {
  let kept = 0;
  const lost: string[] = [];
  for (const [user, acknowledged] of told.acknowledged) {
    const texts = await textsOf(user, reader);
    for (const turn of acknowledged) {
      if (texts.includes(said(user, turn))) kept++;
      else lost.push(said(user, turn));
    }
  }
  await someAtOnce(told.responseIds, AT_ONCE, async (id) => {
    if ((await asked(reader, `/v1/responses/${id}`)).status !== 200) lost.push(id);
  });
  return { kept, lost };
}

/** All that is stored of a user's sessions, one after the other. */
async function textsOf(user: string, reader: Pick<TurnSender, 'url' | 'key'>): Promise<string> {
  const sessions: string[] = [];
  for (let after = ''; ; ) {
    const { text } = await asked(reader, `/sessions?user_id=${user}&limit=1000${after}`);
    const page = JSON.parse(text);
    sessions.push(...page.data.map((session: { session_id: string }) => session.session_id));
    if (!page.has_more) break;
    after = `&after=${page.next}`;
  }
  const texts = await someAtOnce(sessions, AT_ONCE, async (id) => {
    return (await asked(reader, `/sessions/${id}?user_id=${user}`)).text;
  });
  return texts.join('\n');
}
