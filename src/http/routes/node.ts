import { Type } from 'typebox';
import type { ServedModel } from '../../context-manager/model-directory.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { AppParts } from '../app-parts.ts';
import { ModelChoice } from '../model-choice.ts';
import type { TypedApp } from '../typed-app.ts';

/** What the node is and how it is: health, readiness, model, metrics. */
export function nodeRoutes(app: TypedApp, parts: AppParts): void {
  const { models, node, options, metricsText } = parts;

  for (const url of ['/health', '/v1/health']) {
    app.get(
      url,
      {
        schema: {
          tags: ['node'],
          summary: 'Whether the process lives',
          response: { 200: Type.Object({ status: Type.String() }) },
        },
      },
      async () => ({ status: 'ok' }),
    );
  }

  app.get(
    '/ready',
    {
      schema: {
        tags: ['node'],
        summary: 'Whether the node can take turns now, with every model or with the one that is named',
        querystring: Type.Object({
          model: Type.Optional(Type.String({ description: 'Ask about this model only; left out: about all of them.' })),
        }),
      },
    },
    async ({ query }) => {
      if (node.closing) throw new DiscedgeError('shutting_down', 'the node is stopping');
      const asked = query.model === undefined || query.model === '' ? models.all : [models.find(query.model)];
      const [, status] = await Promise.all([requireReady(asked), node.records.status()]);
      return { status: 'ready', models: asked.map(({ name }) => name), store: { ...snake(status) } };
    },
  );

  app.get(
    '/props',
    {
      schema: {
        tags: ['node'],
        summary: "llama.cpp's properties, and the node's",
        querystring: Type.Object(ModelChoice),
      },
    },
    async ({ query }) => ({
      ...modelProperties(models.find(query.model)),
      models: models.all.map(({ name }) => name),
      node: options.nodeId,
      version: options.version,
      store: options.storeName,
    }),
  );

  for (const url of ['/v1/models', '/models']) {
    app.get(
      url,
      { schema: { tags: ['node'], summary: 'The models served here, the default one first' } },
      async () => ({ object: 'list', data: models.all.map(modelEntry) }),
    );
  }

  app.get('/metrics', { schema: { tags: ['node'], summary: 'Prometheus metrics' } }, async (_request, reply) => {
    const { text, contentType } = await metricsText();
    return reply.header('content-type', contentType).send(text);
  });
}

/** Throws for the first that is not ready, and names all that are not where there are several. */
async function requireReady(models: readonly ServedModel[]): Promise<void> {
  const results = await Promise.allSettled(models.map(({ llm }) => llm.ready()));
  const failures = results.flatMap((result, place) =>
    result.status === 'rejected' ? [{ name: models[place]?.name, error: result.reason as unknown }] : [],
  );
  const [first] = failures;
  if (first === undefined) return;
  if (models.length === 1 || !(first.error instanceof DiscedgeError)) throw first.error;
  const message = failures.map(({ name, error }) => `model ${name} is not ready: ${textOf(error)}`).join('; ');
  throw new DiscedgeError(first.error.code, message, { cause: first.error });
}

/** Only a DiscedgeError's message may reach a client. */
function textOf(error: unknown): string {
  return error instanceof DiscedgeError ? error.message : 'internal error';
}

function modelEntry({ name, llm, keygroup }: ServedModel) {
  const { vocabularySize, contextTokens } = llm.description;
  const meta = { n_vocab: vocabularySize, n_ctx: contextTokens, keygroup };
  return { id: name, object: 'model', created: 0, owned_by: 'discedge', meta };
}

function modelProperties({ llm, template, keygroup, contextManager }: ServedModel) {
  const { identity, contextTokens, vocabularySize, chatTemplate, bosText, eosText } = llm.description;
  const { whyNotAppendable } = template;
  return {
    default_generation_settings: { n_ctx: contextTokens },
    total_slots: llm.slots().length,
    model_alias: identity.name,
    chat_template: chatTemplate ?? '',
    bos_token: bosText,
    eos_token: eosText,
    keygroup,
    tokenizer_digest: identity.tokenizerDigest,
    template_digest: identity.templateDigest,
    vocabulary_size: vocabularySize,
    default_mode: contextManager.defaultMode,
    modes: ['raw', ...(whyNotAppendable === undefined ? ['tokenized'] : []), 'client-side'],
    ...(whyNotAppendable === undefined ? {} : { tokenized_unavailable: whyNotAppendable }),
  };
}

function snake(status: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(status).map(([key, value]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}
