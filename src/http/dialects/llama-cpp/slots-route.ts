import { Type } from 'typebox';
import type { AppParts } from '../../app-parts.ts';
import { OF_A_MODEL } from '../../possible-errors.ts';
import { ModelChoice } from '../../requests/model-choice.ts';
import type { TypedApp } from '../../typed-app.ts';

const Slots = Type.Array(
  Type.Object({
    id: Type.Integer({ minimum: 0 }),
    n_ctx: Type.Integer({ description: 'Ids that prompt and reply may have together.' }),
    speculative: Type.Boolean(),
    is_processing: Type.Boolean(),
  }),
);

/** llama.cpp's `/slots`: which of a model's slots are at work, and never on what. */
export function slotsRoute(app: TypedApp, { models }: AppParts): void {
  app.get(
    '/slots',
    {
      schema: {
        operationId: 'listSlots',
        tags: ['node'],
        summary: "Which of a model's slots are at work",
        querystring: Type.Object(ModelChoice),
        response: { 200: Slots },
        errors: OF_A_MODEL,
      },
    },
    async ({ query }) => {
      const { llm } = models.find(query.model);
      const shared = { n_ctx: llm.description.contextTokens, speculative: false };
      return llm.slots().map(({ busy }, id) => ({ id, ...shared, is_processing: busy }));
    },
  );
}
