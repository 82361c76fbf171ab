// npm run test:vllm -- --url http://HOST:PORT [--tokenizer FILE]: what the tests of vLLM's double are, against a real one.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { url, tokenizer } = parseArgs({ options: { url: { type: 'string' }, tokenizer: { type: 'string' } } }).values;
if (url === undefined) {
  console.error(
    'usage: npm run test:vllm -- --url http://HOST:PORT [--tokenizer tokenizer.json]\n' +
      "The server serves the demo model's weights under a name of its own; docs/llm-services.md has the flags.",
  );
  process.exit(2);
}
const env = {
  ...process.env,
  DISCEDGE_TEST_VLLM_URL: url,
  ...(tokenizer && { DISCEDGE_TEST_VLLM_TOKENIZER: tokenizer }),
};
const command = ['vitest', 'run', '--project', 'full', 'test/integration/vllm-real.test.ts'];
spawn('npx', command, { env, stdio: 'inherit' }).on('close', (code) => process.exit(code ?? 1));
