import { type Static, Type } from 'typebox';
import type { AppParts } from '../../../app-parts.ts';
import { clientGone } from '../../../connections/client-gone.ts';
import { OF_A_TURN } from '../../../possible-errors.ts';
import { requireKnown } from '../../../requests/parameters.ts';
import { serveTurn } from '../../../serve-turn.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { startInBackground } from './background.ts';
import { CONTEXT_FIELDS, CreateBody } from './create-body.ts';
import { responseStream } from './response-stream.ts';
import { ResponseEvent, ResponseReply, type ResponseState, responseView } from './response-view.ts';
import type { Responses } from './responses.ts';

const TokensBody = Type.Object({ ...CONTEXT_FIELDS }, { additionalProperties: true, title: 'CountTokens' });
const InputTokens = Type.Object({ object: Type.Literal('response.input_tokens'), input_tokens: Type.Integer() });
export const OF_A_NEW_RESPONSE = [
  ...OF_A_TURN,
  ...(['previous_response_not_found', 'conversation_not_found', 'conversation_locked'] as const),
];

/** OpenAI's `/responses`: a response is a turn, and its id names the turn at every node. */
export function responsesRoutes(app: TypedApp, parts: AppParts, responses: Responses): void {
  const { environment } = parts.node;

  app.post(
    '/responses',
    {
      config: { isTurn: true },
      schema: {
        operationId: 'createResponse',
        tags: ['responses'],
        summary: 'Have the model answer',
        description:
          'With `previous_response_id` it goes on after that response, whichever node made it; with `conversation` at its end. `stream: true` answers with events, `background: true` at once.',
        body: CreateBody,
        response: {
          200: {
            description: 'The response, or with `stream: true` its events, of which the schema is that of their data.',
            content: { 'application/json': { schema: ResponseReply }, 'text/event-stream': { schema: ResponseEvent } },
          },
        },
        errors: OF_A_NEW_RESPONSE,
      },
    },
    async (request, reply) => {
      const planned = await responses.planner.plan(request.body, request, clientGone(reply));
      const { asked } = planned;
      const stream = asked.options.stream
        ? responseStream({
            begun: () => ({ state: planned.state, ids: planned.items }),
            summarized: () => asked.summarized,
          })
        : undefined;
      if (planned.background && stream === undefined)
        return responseView(
          await startInBackground(responses, planned, { ...parts, account: request.account }),
        ) as never;
      return serveTurn(
        { request, reply, environment },
        {
          run: (observer) => responses.run(planned, planned.background ? unhurried(observer) : observer),
          whole: (state: ResponseState) => responseView(state) as never,
          stream,
        },
      );
    },
  );

  app.post(
    '/responses/input_tokens',
    {
      schema: {
        operationId: 'countInputTokens',
        tags: ['responses'],
        summary: 'How many ids the model would read',
        body: TokensBody,
        response: { 200: InputTokens },
        errors: OF_A_NEW_RESPONSE,
      },
    },
    async ({ body, principal, account }, reply) => {
      requireKnown(body, { known: Object.keys(CONTEXT_FIELDS), refused: {} });
      const gone = clientGone(reply);
      const planned = await responses.planner.plan(
        { ...(body as Static<typeof CreateBody>), store: true },
        { principal, headers: {} },
        gone,
      );
      const { request, model } = planned;
      if (request === undefined) throw new TypeError('a response that is kept is a turn');
      const counted = model.contextManager.count(request, { gone, account });
      const input_tokens = await counted.catch((error) => {
        throw responses.inWords(request, error);
      });
      return { object: 'response.input_tokens' as const, input_tokens };
    },
  );
}

/** Nobody has to stay for it. */
function unhurried<Observer extends { readonly gone: AbortSignal }>(observer: Observer): Observer {
  return { ...observer, gone: new AbortController().signal };
}
