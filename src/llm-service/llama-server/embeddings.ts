import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { ServerConnection } from '../http/server-connection.ts';
import type { Embeddings } from '../llm-service.ts';
import { badReply } from './server-errors.ts';

/** Throws `unsupported_parameter` where the server was not started with `--embeddings`. */
export async function embeddingsOf(
  connection: ServerConnection,
  inputs: readonly (string | TokenSequence)[],
  signal: AbortSignal,
): Promise<Embeddings> {
  const body = JSON.stringify({ input: inputs, encoding_format: 'float' });
  const reply = (await connection.post('v1/embeddings', body, signal)) as { data?: unknown; usage?: unknown };
  const data = Array.isArray(reply.data) ? (reply.data as { index?: unknown; embedding?: unknown }[]) : [];
  const vectors = inputs.map((_, at) => data.find(({ index }) => index === at)?.embedding);
  const { prompt_tokens: promptTokens } = (reply.usage ?? {}) as { prompt_tokens?: unknown };
  if (!vectors.every(isVector) || typeof promptTokens !== 'number')
    throw badReply(connection.url, 'something that is not embeddings');
  return { vectors, promptTokens };
}

function isVector(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((one) => Number.isFinite(one));
}
