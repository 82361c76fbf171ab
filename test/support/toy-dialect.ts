import { Type } from 'typebox';
import type { ReplyOptions, TurnReply, TurnRequest } from '../../src/context-manager/turn/turn.ts';
import { ANONYMOUS, type SessionId } from '../../src/domain/identifiers.ts';
import type { Dialect } from '../../src/http/dialect.ts';
import type { ErrorEnvelope } from '../../src/http/error-reply.ts';
import { choice, modelText, sessionId } from '../../src/http/requests/request-fields.ts';
import { serveTurn, type TurnStream } from '../../src/http/serve-turn.ts';

const oops: ErrorEnvelope = {
  schema: (codes) => Type.Object({ oops: Type.Object({ what: choice(codes), where: Type.Optional(Type.String()) }) }),
  body: ({ code, param }) => ({ oops: { what: code, ...(param !== undefined && { where: param }) } }),
};

const Say = Type.Object({ to: sessionId(), words: modelText(), live: Type.Optional(Type.Boolean()) });
const Said = Type.Object({ words: Type.String(), place: Type.Integer(), bytes: Type.Integer() });
const Finish = Type.Object({ text: modelText() });
const Finished = Type.Object({ text: Type.String() });

const plain: ReplyOptions = { maxTokens: undefined, stop: [], sampling: {}, stream: false };

/** An API of two routes that nobody has: one takes a turn, at the tip of a conversation, the other forwards a prompt. */
export const toyDialect: Dialect = {
  prefix: '/toy',
  errors: oops,
  limitHeaders: () => ({}),
  routes(app, { models, node }) {
    const { contextManager } = models.default;
    const { environment } = node;
    app.post('/say', { schema: { body: Say, response: { 200: Said } } }, async (request, reply) =>
      serveTurn(
        { request, reply, environment },
        {
          run: (observer) => contextManager.takeTurn(turnOf(request.body), observer),
          whole: ({ text, turn }, { requestBytes }) => ({ words: text, place: turn, bytes: requestBytes }),
          stream: request.body.live ? countedEvents() : undefined,
        },
      ),
    );
    app.post('/finish', { schema: { body: Finish, response: { 200: Finished } } }, async (request, reply) =>
      serveTurn(
        { request, reply, environment },
        {
          run: (observer) => contextManager.forward({ ...plain, prompt: [request.body.text] }, observer),
          whole: ({ text }) => ({ text }),
          stream: undefined,
        },
      ),
    );
  },
};

function turnOf({ to, words, live = false }: { to: SessionId; words: string; live?: boolean }): TurnRequest {
  return {
    ...plain,
    ...{ userId: ANONYMOUS, sessionId: to, place: { tip: 'new' }, mode: undefined, stream: live },
    messages: [{ role: 'user', content: words }],
    ...{ consistency: 'strong', maxWaitMs: 0, writeConcern: 'local', replicatedWaitMs: 0 },
    ...{ ttlSeconds: undefined, overflow: 'error', reasoning: 'as-template' },
  };
}

/** Events with types and ids, and an end that is no JSON. */
function countedEvents(): TurnStream<TurnReply> {
  let count = 0;
  const next = (event: string, data: object | string) => ({ event, id: String(++count), data });
  return {
    part: ({ text }) => [next('word', { text })],
    end: ({ turn }) => [next('said', { place: turn }), { data: '[END]' }],
    error: (error) => [next('oops', oops.body(error))],
  };
}
