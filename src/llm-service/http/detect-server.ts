import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { ServerConnection, type ServerConnectionOptions } from './server-connection.ts';
import { refusedKey, type ServerKind } from './server-errors.ts';

/** A server of which it is not known yet what it is. */
const SOME_SERVER: ServerKind = {
  name: 'the LLM Service',
  errorOfReply(url, status) {
    if (status === 401 || status === 403) return refusedKey(SOME_SERVER, url, status);
    const code = status >= 500 && status !== 501 ? 'llm_unavailable' : 'llm_bad_reply';
    return new DiscedgeError(code, `the LLM Service at ${url.origin} answered ${status}.`);
  },
};

/**
 * Which program answers: a llama-server has `/props`, a vLLM `/version` and models that it owns. Throws `llm_unavailable` (not there,
 * still loading, wrong key), `llm_timeout`, or `llm_bad_reply` for a server that is neither.
 */
export async function detectServer(
  options: ServerConnectionOptions,
  environment: Environment,
): Promise<'llama-server' | 'vllm'> {
  const connection = new ServerConnection(SOME_SERVER, options, environment);
  const ask = async (path: string) => {
    try {
      return (await connection.get(path)) as Record<string, unknown>;
    } catch (error) {
      // It answers, but has no such page.
      if (error instanceof DiscedgeError && error.code === 'llm_bad_reply') return undefined;
      throw error;
    }
  };
  try {
    if ((await ask('props'))?.default_generation_settings !== undefined) return 'llama-server';
    const models = (await ask('v1/models'))?.data;
    const owners = Array.isArray(models)
      ? models.map((model) => (model as { owned_by?: unknown } | null)?.owned_by)
      : [];
    if (owners.includes('vllm') && typeof (await ask('version'))?.version === 'string') return 'vllm';
    const owner = owners.find((name) => typeof name === 'string');
    throw connection.badReply(
      `neither a llama-server's /props nor a vLLM's /v1/models${owner === undefined ? '' : ` (its models are owned by ${JSON.stringify(owner)})`}; if it is one of them behind something else, say which with --llm-kind`,
    );
  } finally {
    connection.close();
  }
}
