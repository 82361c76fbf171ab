import { Type } from 'typebox';
import { DiscedgeError } from '../../domain/errors.ts';
import type { AppParts } from '../app-parts.ts';
import type { TypedApp } from '../typed-app.ts';

/** What the node is and how it is: health, readiness, model, metrics. */
export function nodeRoutes(app: TypedApp, parts: AppParts): void {
  const { models, node, options, metricsText } = parts;
  const { llm, template, keygroup } = models.default;
  const { identity, contextTokens, vocabularySize, chatTemplate, bosText, eosText } = llm.description;

  app.get(
    '/health',
    {
      schema: {
        tags: ['node'],
        summary: 'Whether the process lives',
        response: { 200: Type.Object({ status: Type.String() }) },
      },
    },
    async () => ({ status: 'ok' }),
  );

  app.get('/ready', { schema: { tags: ['node'], summary: 'Whether the node can take a turn now' } }, async () => {
    if (node.closing) throw new DiscedgeError('shutting_down', 'the node is stopping');
    const [, status] = await Promise.all([llm.ready(), node.store.status()]);
    return { status: 'ready', store: { ...snake(status) } };
  });

  app.get('/props', { schema: { tags: ['node'], summary: "llama.cpp's properties, and the node's" } }, async () => ({
    default_generation_settings: { n_ctx: contextTokens },
    total_slots: options.parallel,
    model_alias: identity.name,
    chat_template: chatTemplate ?? '',
    bos_token: bosText,
    eos_token: eosText,
    node: options.nodeId,
    version: options.version,
    keygroup: keygroup,
    tokenizer_digest: identity.tokenizerDigest,
    template_digest: identity.templateDigest,
    vocabulary_size: vocabularySize,
    store: options.storeName,
    default_mode: options.defaultMode,
    modes: ['raw', ...(template.whyNotAppendable === undefined ? ['tokenized'] : []), 'client-side'],
    ...(template.whyNotAppendable === undefined ? {} : { tokenized_unavailable: template.whyNotAppendable }),
  }));

  app.get('/v1/models', { schema: { tags: ['node'], summary: 'The models served here' } }, async () => ({
    object: 'list',
    data: [
      {
        id: identity.name,
        object: 'model',
        created: 0,
        owned_by: 'discedge',
        meta: { n_vocab: vocabularySize, n_ctx: contextTokens, keygroup: keygroup },
      },
    ],
  }));

  app.get('/metrics', { schema: { tags: ['node'], summary: 'Prometheus metrics' } }, async (_request, reply) => {
    const { text, contentType } = await metricsText();
    return reply.header('content-type', contentType).send(text);
  });
}

function snake(status: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(status).map(([key, value]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}
