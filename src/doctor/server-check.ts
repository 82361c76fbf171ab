import type { EdgeNodeConfig } from '../config/config.ts';
import type { ServerSource } from '../config/engine-kinds.ts';
import type { TokenId } from '../domain/token-sequence.ts';
import { nodeEnvironment } from '../environment/node-environment.ts';
import { detectServer } from '../llm-service/http/detect-server.ts';
import { ServerConnection, type ServerConnectionOptions } from '../llm-service/http/server-connection.ts';
import { chooseApi } from '../llm-service/vllm/describe-vllm.ts';
import { askServedModel } from '../llm-service/vllm/served-model.ts';
import { VLLM } from '../llm-service/vllm/vllm-errors.ts';
import type { Check } from './check.ts';
import { ANSWER_WAIT_MS, firstLine } from './llm-checks.ts';

/** Whether the server that `llm` names answers, takes its key and has a model. */
export async function checkServer(source: ServerSource, config: EdgeNodeConfig): Promise<Check> {
  const { url, apiKey, program } = source;
  const options = { url, apiKey, connectTimeoutMs: ANSWER_WAIT_MS, idleTimeoutMs: ANSWER_WAIT_MS };
  if (program === 'llama-server') return checkLlamaServer(source);
  if (program === 'vllm') return checkVllm(source, options);
  try {
    const environment = nodeEnvironment({ logLevel: 'silent', nodeId: config.nodeId });
    return (await detectServer(options, environment)) === 'vllm'
      ? checkVllm(source, options)
      : checkLlamaServer(source);
  } catch {
    // What is wrong with one that is not there, or is neither, it says as well.
    return checkLlamaServer(source);
  }
}

/** Whether a llama-server answers, takes its key and has a model. */
async function checkLlamaServer({ url, apiKey }: ServerSource): Promise<Check> {
  const name = 'llama-server';
  const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  try {
    const response = await fetch(`${url}/props`, { headers, signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    if (response.status === 401) {
      return { name, outcome: 'missing', found: `${url} wants another key`, fix: 'give it with --llm-api-key-file' };
    }
    const props = (await response.json()) as { model_path?: string; build_info?: string };
    if (response.ok && props.model_path !== undefined) {
      return {
        name,
        outcome: 'ok',
        found: `${url} serves ${props.model_path} (${props.build_info ?? 'version unknown'})`,
      };
    }
    return {
      name,
      outcome: 'missing',
      found: `${url} answered with status ${response.status}`,
      fix: 'is it a llama-server with its model loaded?',
    };
  } catch (error) {
    return {
      name,
      outcome: 'missing',
      found: `${url} does not answer: ${firstLine(error)}`,
      fix: 'start one: llama-server -m MODEL.gguf -b 256 -ub 256 --port PORT',
    };
  }
}

/** Whether a vLLM answers, takes its key, and was started with the flags that a node needs. */
async function checkVllm({ url }: ServerSource, options: ServerConnectionOptions): Promise<Check> {
  const name = 'vLLM';
  const connection = new ServerConnection(VLLM, options, nodeEnvironment({ logLevel: 'silent', nodeId: 'doctor' }));
  try {
    const { id, contextTokens } = await askServedModel(connection);
    const { version } = (await connection.get('version')) as { version?: string };
    const api = await chooseApi(connection, id, 0 as TokenId);
    const over = api === 'generate' ? 'tokens in, tokens out' : 'over /v1/completions, for want of --enable-scale-out';
    const found = `${url} serves ${id}, ${contextTokens} tokens of context (vLLM ${version ?? 'of no version'}; ${over})`;
    return { name, outcome: 'ok', found };
  } catch (error) {
    const fix =
      'start one: vllm serve MODEL --enable-scale-out --enable-prompt-tokens-details --enable-tokenizer-info-endpoint';
    return { name, outcome: 'missing', found: firstLine(error), fix };
  } finally {
    connection.close();
  }
}
