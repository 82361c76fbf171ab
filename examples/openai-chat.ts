// A chat through OpenAI's own client that changes the node with every message, and knows nothing of sessions: it sends its whole
// history, and each node goes on from the exact ids of what the one before has answered.
//
//     npx tsx examples/openai-chat.ts http://127.0.0.1:8081 http://127.0.0.1:8082
import OpenAI from 'openai';

const nodes = process.argv.slice(2);
if (nodes.length === 0) nodes.push('http://127.0.0.1:8081');
const messages: OpenAI.ChatCompletionMessageParam[] = [];

for (const [at, content] of ['My name is Ada.', 'Hello.', 'What is my name?'].entries()) {
  const openai = new OpenAI({ baseURL: `${nodes[at % nodes.length]}/v1`, apiKey: 'any' });
  messages.push({ role: 'user', content });
  const completion = await openai.chat.completions.create({ model: 'demo', messages, max_tokens: 32, temperature: 0 });
  const [choice] = completion.choices as [OpenAI.ChatCompletion.Choice & { discedge: { node: string; turn: number } }];
  messages.push(choice.message);
  const { node, turn } = choice.discedge;
  console.log(`${node}, turn ${turn}\n  > ${content}\n  ${choice.message.content}`);
}
