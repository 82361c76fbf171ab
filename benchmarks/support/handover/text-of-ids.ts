import type { NodeProcess } from '../../../tools/node-process.ts';

const WORDS = 'river stone window garden paper morning ladder copper winter basket candle meadow harbour'.split(' ');

/** A text of about so many ids of the node's model, which no other seed's text begins with. */
export async function textOfIds(node: NodeProcess, ids: number, seed: number): Promise<string> {
  const words = Array.from({ length: ids }, (_, at) => WORDS[(at * 7 + seed * 13 + ids) % WORDS.length]);
  const text = `${seed} and ${ids}: ${words.join(' ')}`;
  const { tokens } = (await node.post('/tokenize', { content: text })).body as { readonly tokens: readonly number[] };
  const kept = Math.floor((words.length * ids) / tokens.length);
  return `${seed} and ${ids}: ${words.slice(0, kept).join(' ')}`;
}
