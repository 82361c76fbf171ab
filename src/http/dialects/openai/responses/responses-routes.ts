import { type Static, Type } from 'typebox';
import { DiscedgeError } from '../../../../domain/errors.ts';
import type { Principal } from '../../../../domain/principal.ts';
import { removedAnswerExtension } from '../../../../domain/record/removed-answer.ts';
import type { AppParts } from '../../../app-parts.ts';
import { clientGone } from '../../../client-gone.ts';
import { invalid, requireKnown } from '../../../parameters.ts';
import { OF_A_SESSION, OF_A_TURN } from '../../../possible-errors.ts';
import { serveTurn } from '../../../serve-turn.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { PageQuery, page, pageOf } from '../pages.ts';
import { startInBackground } from './background.ts';
import { CONTEXT_FIELDS, CreateBody } from './create-body.ts';
import { ItemIds } from './item-views.ts';
import { isMissing } from './refusals.ts';
import { deltasOf } from './response-events.ts';
import type { ResponseRef } from './response-ref.ts';
import { responseStream } from './response-stream.ts';
import { Item, ResponseReply, type ResponseState, responseView } from './response-view.ts';
import type { Responses } from './responses.ts';
import { isSummarized } from './stored-responses.ts';

const ResponsePath = Type.Object({ response_id: Type.String({ minLength: 1 }) });
const RetrieveQuery = Type.Object({
  stream: Type.Optional(Type.Boolean({ description: 'As the events that it came in, or comes in.' })),
  starting_after: Type.Optional(
    Type.Integer({ minimum: 0, description: 'With `stream`: only what is after the event of this sequence number.' }),
  ),
  include: Type.Optional(Type.Unknown()),
  include_obfuscation: Type.Optional(Type.Boolean()),
});
const DeletedResponse = Type.Object({ id: Type.String(), object: Type.String(), deleted: Type.Boolean() });
const TokensBody = Type.Object({ ...CONTEXT_FIELDS }, { additionalProperties: true, title: 'CountTokens' });
const InputTokens = Type.Object({ object: Type.Literal('response.input_tokens'), input_tokens: Type.Integer() });
const ResponseEvent = Type.Object(
  { type: Type.String(), sequence_number: Type.Integer() },
  { additionalProperties: true, title: 'ResponseEvent' },
);

const OF_A_RESPONSE = [...OF_A_SESSION, 'response_not_found'] as const;
export const OF_A_NEW_RESPONSE = [
  ...OF_A_TURN,
  ...(['previous_response_not_found', 'conversation_not_found', 'conversation_locked'] as const),
];

/** OpenAI's `/responses`: a response is a turn, and its id names the turn at every node. */
export function responsesRoutes(app: TypedApp, parts: AppParts, responses: Responses): void {
  const { environment } = parts.node;
  const { running, stored, ids } = responses;

  app.post(
    '/responses',
    {
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
        return responseView(await startInBackground(responses, planned, parts)) as never;
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

  app.get(
    '/responses/:response_id',
    {
      schema: {
        operationId: 'retrieveResponse',
        tags: ['responses'],
        summary: 'A response, whichever node made it',
        description:
          'While it is under way only the node that works on it has it. With `stream: true` its events; `starting_after` goes on after a cut, exactly, also at another node.',
        params: ResponsePath,
        querystring: RetrieveQuery,
        response: {
          200: {
            description: 'The response, or with `stream: true` its events.',
            content: { 'application/json': { schema: ResponseReply }, 'text/event-stream': { schema: ResponseEvent } },
          },
        },
        errors: [...OF_A_RESPONSE, 'unsupported_parameter'],
      },
    },
    async (request, reply) => {
      const ref = refOf(request);
      const { stream = false, starting_after: after } = request.query;
      if (after !== undefined && !stream) throw invalid('starting_after', 'starting_after needs stream: true');
      if (request.query.include_obfuscation === true)
        throw new DiscedgeError('unsupported_parameter', 'include_obfuscation is not supported', {
          param: 'include_obfuscation',
        });
      const signal = clientGone(reply);
      if (!stream) return responseView(await stateOf(ref, signal)) as never;
      const itemIds = new ItemIds(ids, ref);
      const live = running.find(ref.answerId);
      const found = live === undefined ? await storedOf(ref, signal) : undefined;
      const state = live?.state ?? (found?.state as ResponseState);
      return serveTurn(
        { request, reply, environment },
        {
          async run(observer) {
            const give = (deltas: ReturnType<typeof deltasOf>) => observer.part({ ...NO_PIECE, parts: deltas });
            if (live !== undefined) return live.follow((delta) => give([delta]), observer.gone);
            give(deltasOf(found?.text.parts ?? []));
            return state;
          },
          whole: (done) => responseView(done) as never,
          stream: responseStream({
            begun: () => ({ state, ids: itemIds }),
            summarized: () => isSummarized(state.said),
            after,
          }),
        },
      );
    },
  );

  app.delete(
    '/responses/:response_id',
    {
      schema: {
        operationId: 'deleteResponse',
        tags: ['responses'],
        summary: 'Remove a response from sight',
        description:
          'It cannot be retrieved or gone on from any more, at any node that has heard of it. Responses that go on from it keep it in their context.',
        params: ResponsePath,
        response: { 200: DeletedResponse },
        errors: [...OF_A_TURN, 'response_not_found'],
      },
    },
    async (request, reply) => {
      const ref = refOf(request);
      const signal = clientGone(reply);
      const live = running.find(ref.answerId);
      live?.cancel(cancelled());
      const ended = (await live?.ended) ?? running.endedWithout(ref.answerId);
      running.forget(ref.answerId);
      const isStored = ended === undefined || ended.status === 'completed' || ended.status === 'incomplete';
      if (isStored) {
        const { model, state } = await storedOf(ref, signal);
        await model.contextManager.add(
          {
            userId: ref.userId,
            sessionId: ref.sessionId,
            place:
              state.conversationId === undefined
                ? { afterAnswer: ref.answerId, repeat: 'repeated' }
                : { tip: 'repeated' },
            messages: [],
            extensions: removedAnswerExtension(ref.answerId),
            ttlSeconds: undefined,
            maxWaitMs: parts.options.maxWaitMs,
          },
          signal,
        );
      }
      return { id: request.params.response_id, object: 'response', deleted: true };
    },
  );

  app.post(
    '/responses/:response_id/cancel',
    {
      schema: {
        operationId: 'cancelResponse',
        tags: ['responses'],
        summary: 'Stop a response that is made in the background',
        description: 'At the node that works on it. One that is done already stays as it is.',
        params: ResponsePath,
        response: { 200: ResponseReply },
        errors: OF_A_RESPONSE,
      },
    },
    async (request, reply) => {
      const ref = refOf(request);
      const live = running.find(ref.answerId);
      if (live !== undefined && !live.background)
        throw invalid('response_id', 'only a response that is made in the background can be cancelled');
      live?.cancel(cancelled());
      const state = (await live?.ended) ?? (await stateOf(ref, clientGone(reply)));
      if (state.said.background !== true)
        throw invalid('response_id', 'only a response that is made in the background can be cancelled');
      return responseView(state) as never;
    },
  );

  app.get(
    '/responses/:response_id/input_items',
    {
      schema: {
        operationId: 'listInputItems',
        tags: ['responses'],
        summary: 'What a response was asked',
        description: 'The items of its own request, newest first, without those of the responses before it.',
        params: ResponsePath,
        querystring: PageQuery,
        response: { 200: pageOf(Item, 'ResponseItemList') },
        errors: OF_A_RESPONSE,
      },
    },
    async (request, reply) => {
      const found = await storedOf(refOf(request), clientGone(reply));
      return page(stored.inputOf(found), request.query);
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
    async ({ body, principal }, reply) => {
      requireKnown(body, { known: Object.keys(CONTEXT_FIELDS), refused: {} });
      const signal = clientGone(reply);
      const planned = await responses.planner.plan(
        { ...(body as Static<typeof CreateBody>), store: true },
        { principal, headers: {} },
        signal,
      );
      const { request, model } = planned;
      if (request === undefined) throw new TypeError('a response that is kept is a turn');
      const counted = model.contextManager.count(request, signal);
      const input_tokens = await counted.catch((error) => {
        throw responses.inWords(request, error);
      });
      return { object: 'response.input_tokens' as const, input_tokens };
    },
  );

  function refOf({ params, principal }: NamedResponse): ResponseRef {
    const ref = ids.openResponse(params.response_id, principal);
    if (ref === undefined) throw notFound();
    return ref;
  }

  async function storedOf(ref: ResponseRef, signal: AbortSignal) {
    try {
      return await stored.find(ref, signal);
    } catch (error) {
      throw isMissing(error) ? notFound() : error;
    }
  }

  async function stateOf(ref: ResponseRef, signal: AbortSignal): Promise<ResponseState> {
    const here = running.find(ref.answerId)?.state ?? running.endedWithout(ref.answerId);
    return here ?? (await storedOf(ref, signal)).state;
  }
}

interface NamedResponse {
  readonly params: Static<typeof ResponsePath>;
  readonly principal: Principal;
}

const NO_PIECE = { text: '', ids: [], promptTokens: 0 };

/** Nobody has to stay for it. */
function unhurried<Observer extends { readonly gone: AbortSignal }>(observer: Observer): Observer {
  return { ...observer, gone: new AbortController().signal };
}

function notFound(): DiscedgeError {
  return new DiscedgeError('response_not_found', 'there is no such response', { param: 'response_id' });
}

function cancelled(): DiscedgeError {
  return new DiscedgeError('turn_cancelled', 'the response was cancelled; nothing was stored');
}
