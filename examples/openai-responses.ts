// A conversation through OpenAI's Responses API that changes the node with every message: it sends that message alone, and the id of
// the last response, which says to any node where the conversation stands.
//
//     npx tsx examples/openai-responses.ts http://127.0.0.1:8081 http://127.0.0.1:8082
import OpenAI from 'openai';

const nodes = process.argv.slice(2);
if (nodes.length === 0) nodes.push('http://127.0.0.1:8081');
let last: string | null = null;

for (const [at, input] of ['My name is Ada.', 'Hello.', 'What is my name?'].entries()) {
  const openai = new OpenAI({ baseURL: `${nodes[at % nodes.length]}/v1`, apiKey: 'any' });
  const response: OpenAI.Responses.Response = await openai.responses.create({
    ...{ model: 'demo', input, previous_response_id: last, max_output_tokens: 32, temperature: 0 },
  });
  last = response.id;
  console.log(`${nodes[at % nodes.length]}\n  > ${input}\n  ${response.output_text}`);
}
