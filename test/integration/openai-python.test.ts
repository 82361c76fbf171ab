/**
 * OpenAI's Python client, unmodified, against a node: a chat whole and streamed, an error, a retry of its own. Runs where a Python
 * has it: `python3`, or the one that DISCEDGE_TEST_PYTHON names.
 *
 *     python3 -m venv .venv && .venv/bin/pip install openai && DISCEDGE_TEST_PYTHON=.venv/bin/python npx vitest run …
 */
import { execFile, spawnSync } from 'node:child_process';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

const PYTHON = process.env.DISCEDGE_TEST_PYTHON ?? 'python3';
const hasClient = spawnSync(PYTHON, ['-c', 'import openai']).status === 0;

const PROGRAM = `
import json, sys
from openai import OpenAI, BadRequestError

client = OpenAI(base_url=sys.argv[1], api_key="any", max_retries=2)
messages, places = [], []
for turn in (1, 2):
    messages.append({"role": "user", "content": f"message {turn}"})
    completion = client.chat.completions.create(model="any", messages=messages)
    choice = completion.choices[0]
    messages.append(choice.message.model_dump(exclude_none=True))
    places.append(choice.model_extra["discedge"])
messages.append({"role": "user", "content": "message 3"})
streamed = client.chat.completions.create(model="any", messages=messages, stream=True)
text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
try:
    client.chat.completions.create(model="any", messages=messages, web_search_options={})
except BadRequestError as error:
    refused = [error.status_code, error.code, error.param]
vector = client.embeddings.create(model="any", input="hello").data[0].embedding
print(json.dumps({"places": places, "text": text, "refused": refused, "models": [m.id for m in client.models.list()], "vector": len(vector)}))
`;

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

it.skipIf(!hasClient)('chats, streams, is refused, and its own retry is one turn', async () => {
  let requests = 0;
  // The second reply does not come: the client asks again.
  const between = createServer((incoming, outgoing) => {
    const isLost = ++requests === 2;
    const { method, headers } = incoming;
    const onward = request(`${node.url}${incoming.url}`, { method, headers }, (answer) => {
      if (!isLost) outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      if (!isLost) answer.pipe(outgoing);
      else answer.resume().on('end', () => outgoing.writeHead(500).end());
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((listening) => between.listen(0, '127.0.0.1', listening));
  try {
    const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}/v1`;
    const { stdout } = await promisify(execFile)(PYTHON, ['-c', PROGRAM, url]);
    const told: Json = JSON.parse(stdout);
    expect(told.places).toMatchObject([
      { turn: 1, replayed: false },
      { turn: 2, replayed: true },
    ]);
    expect(told).toMatchObject({
      text: 'Turn 3: message 3',
      refused: [400, 'unsupported_parameter', 'web_search_options'],
      ...{ models: ['scripted'], vector: 8 },
    });
    expect((await node.get('/sessions')).body.data).toMatchObject([{ turns: 3 }]);
  } finally {
    between.closeAllConnections();
    between.close();
  }
});
