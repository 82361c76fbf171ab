// Conversations that go back and forth between two nodes under templates that change what is past, with reasoning in every
// reply. Tries to have one node read another prompt than the other would, or than the template writes of the conversation,
// and to have more evaluated again than the newest exchanges; one node restarts on the way.
import { describe, expect, test } from 'vitest';
import type { TextMessage } from '../../../src/domain/record/turn-record.ts';
import type { TokenSequence } from '../../../src/domain/token-sequence.ts';
import { written } from '../../support/compiled-style.ts';
import { replicaRig, replicate } from '../../support/context-manager-rig.ts';
import { IM_END, IM_START } from '../../support/probed-llm.ts';
import { THINKING_STYLES, type ThinkingStyle } from '../../support/thinking-styles.ts';

const TURNS = 8;
const RESTART_BEFORE = 5;
/** Exchanges whose ids may change. */
const ROAMING = {
  'drops reasoning before the last question, in a text or a field (Qwen3)': 1,
  'keeps reasoning in the last reply only (LFM2.5)': 2,
  'keeps all reasoning': 0,
} as const;

const CONTROLS = new Map<number, string>([
  [IM_START, '<|im_start|>'],
  [IM_END, '<|im_end|>'],
]);

function promptText(ids: TokenSequence): string {
  return Buffer.concat(ids.map((id) => Buffer.from(CONTROLS.get(id) ?? [id]))).toString('utf8');
}

describe.each(Object.entries(ROAMING))('under a template that %s', (name, reach) => {
  const style = THINKING_STYLES[name] as ThinkingStyle;

  test('a conversation has one context wherever it goes on', async () => {
    const thought = (turn: number) => `they ask for ${turn}`;
    const replyText = (prompt: string) => {
      const turn = Number(/question (\d+)(?!.*question)/s.exec(prompt)?.[1]);
      return `<think>\n${thought(turn)}\n</think>\n\nanswer ${turn}`;
    };
    const node = (nodeId: string) =>
      replicaRig({ options: { nodeId: nodeId as never }, chatTemplate: style.source, scripted: { reply: replyText } });
    const [a, b] = [await node('a'), await node('b')];
    const messages: TextMessage[] = [];
    const sizes: number[] = [];
    let before = 0;
    for (let turn = 1; turn <= TURNS; turn++) {
      if (turn === RESTART_BEFORE) a.restart();
      const [here, there] = turn % 2 === 1 ? [a, b] : [b, a];
      const reply = await here.turn({ session: 's', turn, text: `question ${turn}` });
      await replicate(here, there);
      messages.push({ role: 'user', content: `question ${turn}` });
      const prompt = here.llm.generations.at(-1)?.prompt ?? [];
      expect(promptText(prompt)).toBe(written(style, messages));
      expect(reply).toMatchObject({ turn, basedOnTurn: turn - 1, promptTokens: prompt.length });
      const newest = sizes.slice(sizes.length - reach).reduce((sum, size) => sum + size, 0);
      expect(reply.rewrittenTokens).toBeLessThanOrEqual(reach === 0 ? 0 : newest);
      if (turn > reach && reach > 0) expect(reply.rewrittenTokens).toBeGreaterThan(0);
      messages.push(style.message({ thought: thought(turn), answer: `answer ${turn}` }));
      const after = prompt.length + reply.replyIds.length;
      sizes.push(after - before + reply.rewrittenTokens);
      before = after;
      // Sent to the other node, the turn is a replay there, of the same history.
      const again = await there.turn({ session: 's', turn, text: `question ${turn}` });
      expect(again).toMatchObject({ replayed: true, contextId: reply.contextId, replyIds: reply.replyIds });
    }
  });
});
