import { Type } from 'typebox';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { AppParts } from '../../app-parts.ts';
import { ModelEntry, ModelListReply, modelEntry, modelList } from '../../model-list.ts';
import type { TypedApp } from '../../typed-app.ts';

export function modelsRoutes(app: TypedApp, { models }: AppParts): void {
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModels',
        tags: ['node'],
        summary: 'The models served here, the default one first',
        response: { 200: ModelListReply },
      },
    },
    async () => modelList(models.all),
  );

  app.get(
    '/models/:model',
    {
      schema: {
        operationId: 'retrieveModel',
        tags: ['node'],
        summary: 'One of the models served here, by the name that it is listed under',
        params: Type.Object({ model: Type.String({ minLength: 1 }) }),
        response: { 200: ModelEntry },
        errors: ['model_not_found'],
      },
    },
    async ({ params }) => {
      const found = models.all.find(({ name }) => name === params.model);
      if (found === undefined) {
        throw new DiscedgeError('model_not_found', 'no such model here; /v1/models lists them', { param: 'model' });
      }
      return modelEntry(found);
    },
  );
}
