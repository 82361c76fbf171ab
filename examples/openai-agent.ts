// An agent with a tool that changes the node with every question: what its model called and what the tool answered is part of the
// conversation, and so at every node. The model has to have a chat template that tells of tools. The demo model's own does not; give it
// another one at each node: `npm start -- --chat-template-file test/support/chat-templates/qwen3.jinja`.
//
//     npx tsx examples/openai-agent.ts http://127.0.0.1:8081 http://127.0.0.1:8082
import { Agent, OpenAIProvider, Runner, tool } from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';

const nodes = process.argv.slice(2);
if (nodes.length === 0) nodes.push('http://127.0.0.1:8081');

const weather = tool({
  name: 'weather',
  description: 'The weather in a city',
  parameters: z.object({ city: z.enum(['Paris', 'Rome']) }),
  execute: async ({ city }) => {
    console.log(`  [weather in ${city}]`);
    return 'It rains.';
  },
});

let previousResponseId: string | undefined;
for (const [at, question] of ['How is the weather?', 'And now?'].entries()) {
  const url = nodes[at % nodes.length] as string;
  console.log(`${url}\n  > ${question}`);
  const openAIClient = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any' }) as never;
  const runner = new Runner({
    modelProvider: new OpenAIProvider({ openAIClient, useResponses: true }),
    tracingDisabled: true,
  });
  const agent = new Agent({
    ...{ name: 'forecaster', model: 'demo', tools: [weather] },
    // A model this small calls nothing by itself: its first reply to each question has to be a call.
    modelSettings: { toolChoice: 'required', parallelToolCalls: false, temperature: 0, maxTokens: 128 },
  });
  const result = await runner.run(agent, question, previousResponseId === undefined ? {} : { previousResponseId });
  previousResponseId = result.lastResponseId;
  console.log(`  ${result.finalOutput}`);
}
