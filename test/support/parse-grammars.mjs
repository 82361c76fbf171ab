// Run as a process of its own: llama.cpp's parser writes to the process's stderr, past everything that could catch it.
// Reads a JSON list of grammars from stdin, gives each to llama.cpp, and writes which of them it refused.
import { getLlama } from 'node-llama-cpp';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logger: () => {} });
const refused = [];
for (const grammar of JSON.parse(Buffer.concat(chunks).toString())) {
  await llama.createGrammar({ grammar }).catch(() => refused.push(grammar));
}
await new Promise((done) => process.stdout.write(JSON.stringify(refused), done));
process.exit(0);
