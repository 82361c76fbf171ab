import { Type } from 'typebox';
import { clientSidePrompt } from '../../../context-manager/modes/client-side.ts';
import { openedWith } from '../../../context-manager/turn/turn.ts';
import type { AppParts } from '../../app-parts.ts';
import { clientGone } from '../../connections/client-gone.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { requireKnown } from '../../requests/parameters.ts';
import type { TypedApp } from '../../typed-app.ts';
import { messageRequest } from './message-request.ts';
import { COUNT_PARAMETERS, CountTokensBody } from './messages-body.ts';

/**
 * How long the prompt of a conversation is that opens a session, under what the node and its user put before it, as its message would be; of
 * one that is not kept, what the client sends. Nothing is stored.
 */
export function countTokensRoute(app: TypedApp, { models, options }: AppParts): void {
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
        errors: OF_A_TURN,
      },
    },
    async ({ body, principal, account }, reply) => {
      requireKnown(body, COUNT_PARAMETERS);
      const { kind, request } = messageRequest({ ...body, max_tokens: 1 }, principal, options);
      const model = models.find(body.model);
      if (kind === 'forward') return { input_tokens: (await clientSidePrompt(request, model)).ids.length };
      const { history, messages } = openedWith(request.messages);
      const place = { opens: true, history, drawn: true } as const;
      const opening = { ...request, sessionId: undefined, place, messages };
      return { input_tokens: await model.contextManager.count(opening, { gone: clientGone(reply), account }) };
    },
  );
}
