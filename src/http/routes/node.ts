import { Type } from 'typebox';
import type { ServedModel } from '../../context-manager/model-directory.ts';
import type { StoreStatus } from '../../context-store/context-store.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { CONTEXT_MODES } from '../../domain/record/turn-record.ts';
import type { AppParts } from '../app-parts.ts';
import { ModelListReply, modelList } from '../model-list.ts';
import { OF_A_MODEL, OF_THE_STORE } from '../possible-errors.ts';
import { ModelChoice } from '../requests/model-choice.ts';
import type { TypedApp } from '../typed-app.ts';
import { enginesView } from './engines-view.ts';
import { HealthReply, MetricsReply, PropsReply, ReadyReply } from './node-schemas.ts';

/** What the node is and how it is: health, readiness, model, metrics. */
export function nodeRoutes(app: TypedApp, parts: AppParts): void {
  const { models, node, options, metricsText } = parts;

  for (const [url, operationId] of [
    ['/health', 'health'],
    ['/v1/health', 'healthUnderV1'],
  ] as const) {
    app.get(
      url,
      {
        config: { access: 'anyone' },
        schema: {
          operationId,
          tags: ['node'],
          summary: 'Whether the process lives, and those that its engines live in',
          response: { 200: HealthReply },
        },
      },
      async () => ({ status: 'ok' as const, ...enginesView(models.all) }),
    );
  }

  app.get(
    '/ready',
    {
      config: { access: 'anyone' },
      schema: {
        operationId: 'ready',
        tags: ['node'],
        summary: 'Whether the node can take turns now, with every model or with the one that is named',
        querystring: Type.Object({
          model: Type.Optional(Type.String({ description: 'Ask about this model only; left out: about all of them.' })),
        }),
        response: { 200: ReadyReply },
        errors: [...OF_A_MODEL, ...OF_THE_STORE, 'shutting_down'],
      },
    },
    async ({ query }) => {
      if (node.closing) throw new DiscedgeError('shutting_down', 'the node is stopping');
      const asked = query.model === undefined || query.model === '' ? models.all : [models.find(query.model)];
      const [, status] = await Promise.all([requireReady(asked), node.records.status()]);
      return { status: 'ready' as const, models: asked.map(({ name }) => name), store: storeView(status) };
    },
  );

  app.get(
    '/props',
    {
      schema: {
        operationId: 'props',
        tags: ['node'],
        summary: "llama.cpp's properties, and the node's",
        querystring: Type.Object(ModelChoice),
        response: { 200: PropsReply },
        errors: OF_A_MODEL,
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

  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModelsAtRoot',
        tags: ['node'],
        summary: 'The models served here, the default one first',
        response: { 200: ModelListReply },
      },
    },
    async () => modelList(models.all),
  );

  app.get(
    '/metrics',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'metrics',
        tags: ['node'],
        summary: 'Prometheus metrics',
        response: { 200: MetricsReply },
      },
    },
    async (_request, reply) => {
      const { text, contentType } = await metricsText();
      return reply.header('content-type', contentType).send(text);
    },
  );
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

function modelProperties({ llm, template, keygroup, contextManager }: ServedModel) {
  const { identity, contextTokens, vocabularySize, chatTemplate, bosText, eosText } = llm.description;
  const { whyUnusable } = template;
  return {
    default_generation_settings: { n_ctx: contextTokens },
    total_slots: llm.slots().length,
    model_alias: identity.name,
    chat_template: chatTemplate ?? '',
    bos_token: bosText,
    eos_token: eosText,
    keygroup,
    ...(llm.tokenizer !== undefined && { tokenizer: llm.tokenizer }),
    tokenizer_digest: identity.tokenizerDigest,
    template_digest: identity.templateDigest,
    vocabulary_size: vocabularySize,
    default_mode: contextManager.defaultMode,
    modes: CONTEXT_MODES.filter((mode) => mode === 'client-side' || whyUnusable === undefined),
    template_classes: template.classes.map(({ trait, class: found, reach, why }) => ({
      trait,
      class: found,
      reach,
      ...(why !== undefined && { why }),
    })),
    ...(whyUnusable !== undefined && { template_unusable: whyUnusable }),
  };
}

function storeView({ sessions, records, bytes, corruptRecords, evictedSessions, evictedLastCopies }: StoreStatus) {
  return {
    ...{ sessions, records, bytes, corrupt_records: corruptRecords },
    ...{ evicted_sessions: evictedSessions, evicted_last_copies: evictedLastCopies },
  };
}
