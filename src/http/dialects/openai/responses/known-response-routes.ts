import { type Static, Type } from 'typebox';
import type { Principal } from '../../../../domain/principals/principal.ts';
import { removedAnswerExtension } from '../../../../domain/record/removed-answer.ts';
import type { AppParts } from '../../../app-parts.ts';
import { clientGone } from '../../../connections/client-gone.ts';
import { OF_A_SESSION, OF_A_TURN } from '../../../possible-errors.ts';
import { invalid, unsupported } from '../../../requests/parameters.ts';
import { serveTurn } from '../../../serve-turn.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { Include } from '../included.ts';
import { ItemPageQuery, page, pageOf } from '../pages.ts';
import { sessionInPath } from '../session-in-path.ts';
import { type LocatedResponse, ResponseFinder, responseNotFound } from './find-response.ts';
import { ItemIds } from './item-views.ts';
import { deltasOf } from './response-events.ts';
import type { ResponseRef } from './response-ref.ts';
import { responseStream } from './response-stream.ts';
import { Item, ResponseEvent, ResponseReply, type ResponseState, responseView } from './response-view.ts';
import type { Responses } from './responses.ts';
import { isSummarized } from './stored-responses.ts';
import { cancelled } from './told-responses.ts';

const ResponsePath = Type.Object({ response_id: Type.String({ minLength: 1 }) });
const RetrieveQuery = Type.Object({
  stream: Type.Optional(Type.Boolean({ description: 'As the events that it came in, or comes in.' })),
  starting_after: Type.Optional(
    Type.Integer({ minimum: 0, description: 'With `stream`: only what is after the event of this sequence number.' }),
  ),
  include: Include,
  include_obfuscation: Type.Optional(Type.Boolean()),
});
const DeletedResponse = Type.Object({ id: Type.String(), object: Type.String(), deleted: Type.Boolean() });

const OF_A_RESPONSE = [...OF_A_SESSION, 'response_not_found'] as const;

/** What is done with a response once it has its id: OpenAI's retrieve, delete, cancel and the list of what it was asked. */
export function knownResponseRoutes(app: TypedApp, parts: AppParts, responses: Responses): void {
  const { environment } = parts.node;
  const { running, stored, ids } = responses;
  const finder = new ResponseFinder(responses, parts);

  app.get(
    '/responses/:response_id',
    {
      schema: {
        operationId: 'retrieveResponse',
        tags: ['responses'],
        summary: 'A response, whichever node made it',
        description:
          'While it is under way as the node says that works on it. With `stream: true` its events; `starting_after` goes on after a cut, exactly, also at another node, which has those that are left when the response has arrived there.',
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
      const { stream = false, starting_after: after, include_obfuscation: obfuscation = false } = request.query;
      if (after !== undefined && !stream) throw invalid('starting_after', 'starting_after needs stream: true');
      if (obfuscation) throw unsupported('include_obfuscation', 'include_obfuscation is not supported');
      const located = await finder.locate(ref, clientGone(reply));
      const { state } = located;
      if (!stream) return responseView(state) as never;
      return serveTurn(
        { request, reply, environment },
        {
          run: (observer) =>
            follow(ref, located, observer.gone, (deltas) => observer.part({ ...NO_PIECE, parts: deltas })),
          whole: (done) => responseView(done) as never,
          stream: responseStream({
            begun: () => ({ state, ids: new ItemIds(ids, ref) }),
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
      config: { audit: 'response.delete', auditTarget: sessionInPath(ids) },
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
      const located = await stoppedFor(ref, signal);
      if (located.kind === 'stored') {
        const { model, state } = located.found;
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
        description: 'Whichever node works on it. One that is done already stays as it is.',
        params: ResponsePath,
        response: { 200: ResponseReply },
        errors: OF_A_RESPONSE,
      },
    },
    async (request, reply) => {
      const ref = refOf(request);
      const signal = clientGone(reply);
      const located = await finder.locate(ref, signal);
      if (located.state.said.background !== true)
        throw invalid('response_id', 'only a response that is made in the background can be cancelled');
      const state = await cancelledAs(ref, located, signal);
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
        querystring: ItemPageQuery,
        response: { 200: pageOf(Item, 'ResponseItemList') },
        errors: [...OF_A_RESPONSE, 'unsupported_parameter'],
      },
    },
    async (request, reply) => {
      const found = await finder.stored(refOf(request), clientGone(reply));
      return page(stored.inputOf(found), request.query);
    },
  );

  /** Gives all that it writes, and resolves with what it is at last. */
  async function follow(
    ref: ResponseRef,
    located: LocatedResponse,
    gone: AbortSignal,
    give: (deltas: ReturnType<typeof deltasOf>) => void,
  ): Promise<ResponseState> {
    switch (located.kind) {
      case 'running':
        return located.live.follow((delta) => give([delta]), gone);
      case 'elsewhere':
        return follow(ref, await finder.ended(ref, gone), gone, give);
      case 'stored':
        give(deltasOf(located.found.text.parts));
        return located.state;
      case 'ended':
        return located.state;
      default:
        return located satisfies never;
    }
  }

  /** As it is once it is cancelled, or was over before it could be. */
  async function cancelledAs(ref: ResponseRef, located: LocatedResponse, signal: AbortSignal): Promise<ResponseState> {
    if (located.kind === 'running') {
      located.live.cancel(cancelled());
      return located.live.ended;
    }
    if (located.kind !== 'elsewhere') return located.state;
    const state = await responses.told.ask(ref, 'stop');
    return state ?? (await finder.ended(ref, signal)).state;
  }

  /** Stopped, wherever it is worked on, and told of no more; or its record. */
  async function stoppedFor(ref: ResponseRef, signal: AbortSignal): Promise<LocatedResponse> {
    const located = await finder.locate(ref, signal);
    if (located.kind === 'stored') return located;
    const told =
      located.kind === 'running' ? await cancelledAs(ref, located, signal) : await responses.told.ask(ref, 'forget');
    running.forget(ref.answerId);
    const state = told ?? located.state;
    const isNothing = state.status === 'cancelled' || state.status === 'failed';
    return isNothing ? { kind: 'ended', state } : finder.ended(ref, signal);
  }

  function refOf({ params, principal }: NamedResponse): ResponseRef {
    const ref = ids.openResponse(params.response_id, principal);
    if (ref === undefined) throw responseNotFound();
    return ref;
  }
}

interface NamedResponse {
  readonly params: Static<typeof ResponsePath>;
  readonly principal: Principal;
}

const NO_PIECE = { text: '', ids: [], promptTokens: 0 };
