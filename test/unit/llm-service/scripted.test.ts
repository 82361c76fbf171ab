// The scripted LLM Service's replies: tests hold what it says it has read against what it should have read, so it must
// say all of that and nothing else.
import { expect, test } from 'vitest';
import { startScripted } from '../../../src/llm-service/scripted.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

async function replyTo(prompt: string): Promise<string> {
  const llm = startScripted({}, virtualEnvironment());
  const ids = await llm.tokenize(prompt, { parseSpecial: true });
  const request = { prompt: ids, maxTokens: 1_000, sampling: {}, stop: [], affinity: undefined, stream: false };
  let text = '';
  for await (const event of llm.generate(request, new AbortController().signal))
    if (event.kind === 'part') text += event.text;
  await llm.close();
  return text;
}

const said = (role: string, text: string) => `<|im_start|>${role}\n${text}<|im_end|>\n`;
const conversation = (...messages: string[]) =>
  said('system', 'user\nhidden') +
  messages.map((text) => said('user', text) + said('assistant', `reply to ${text}`)).join('');

test('counts the turns and repeats the last message', async () => {
  expect(await replyTo(`${conversation('a', 'b')}${said('user', 'c')}<|im_start|>assistant\n`)).toBe('Turn 3: c');
});

test('shows all messages that it has read when it is to recall them', async () => {
  const prompt = `${conversation('Recall [1]', 'two')}${said('user', 'Recall [3]')}<|im_start|>assistant\n`;
  expect(await replyTo(prompt)).toBe('Turn 3: Recall [1] | two | Recall [3]');
});
