import type { TokenId } from '../../domain/token-sequence.ts';
import type { LogProbs, ReplyContext } from './generation-reply.ts';
import { badReply } from './vllm-errors.ts';

/** How vLLM writes an id in place of its text (`return_tokens_as_token_ids`). */
const ID_MARK = /^token_id:(\d+)$/;

/** llama.cpp's `completion_probabilities` of ids, out of vLLM's `logprobs`. */
export async function probabilitiesOf(
  { token_logprobs: own, top_logprobs: tops }: LogProbs,
  ids: readonly TokenId[],
  { url, shownBytes }: Pick<ReplyContext, 'url' | 'shownBytes'>,
): Promise<Record<string, unknown>[]> {
  if (own.length !== ids.length || tops.length !== ids.length) throw badReply(url, 'probabilities of other ids');
  const candidates = tops.map((top) => candidatesOf(top ?? {}, url));
  const named = [...new Set([...ids, ...candidates.flatMap((top) => top.map(({ id }) => id))])];
  const bytes = new Map((await shownBytes(named)).map((piece, i) => [named[i] as TokenId, piece]));
  const entry = (id: TokenId, logprob: number | null) => {
    const piece = Buffer.from(bytes.get(id) ?? []);
    return { id, token: piece.toString('utf8'), bytes: [...piece], logprob };
  };
  return ids.map((id, i) => ({
    ...entry(id, own[i] ?? null),
    top_logprobs: (candidates[i] as Candidate[]).map((one) => entry(one.id, one.logprob)),
  }));
}

interface Candidate {
  readonly id: TokenId;
  readonly logprob: number;
}

function candidatesOf(top: Readonly<Record<string, number>>, url: URL): Candidate[] {
  return Object.entries(top)
    .map(([mark, logprob]) => {
      const id = ID_MARK.exec(mark)?.[1];
      if (id === undefined) throw badReply(url, 'probabilities without ids');
      return { id: Number(id) as TokenId, logprob };
    })
    .sort((a, b) => b.logprob - a.logprob);
}
