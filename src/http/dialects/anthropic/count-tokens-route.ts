import { Type } from 'typebox';
import { clientSidePrompt } from '../../../context-manager/modes/client-side.ts';
import type { AppParts } from '../../app-parts.ts';
import { requireKnown } from '../../parameters.ts';
import { OF_A_MODEL } from '../../possible-errors.ts';
import type { TypedApp } from '../../typed-app.ts';
import { conversationOf } from './conversation.ts';
import { COUNT_PARAMETERS, CountTokensBody } from './messages-body.ts';
import { formOf, preambleOf } from './tools.ts';

/** How long the prompt of a conversation is, rendered anew; nothing is stored. */
export function countTokensRoute(app: TypedApp, { models }: AppParts): void {
  app.post(
    '/count_tokens',
    {
      schema: {
        operationId: 'countAnthropicTokens',
        tags: ['turns'],
        summary: 'How many tokens a conversation is',
        body: CountTokensBody,
        response: {
          200: Type.Object({ input_tokens: Type.Integer({ minimum: 0 }) }, { title: 'AnthropicTokenCount' }),
        },
        errors: [...OF_A_MODEL, 'unsupported_parameter', 'mode_unavailable', 'context_overflow'],
      },
    },
    async ({ body }) => {
      requireKnown(body, COUNT_PARAMETERS);
      const conversation = conversationOf(body);
      const preamble = preambleOf(body);
      formOf(body);
      const request = {
        ...{ prompt: { conversation }, maxTokens: undefined, stop: [], sampling: {}, stream: false },
        ...(preamble !== undefined && { preamble }),
      };
      const { ids } = await clientSidePrompt(request, models.find(body.model));
      return { input_tokens: ids.length };
    },
  );
}
