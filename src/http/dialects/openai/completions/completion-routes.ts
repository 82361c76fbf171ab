import type { FastifyRequest } from 'fastify';
import type { ForwardRequest } from '../../../../context-manager/turn/turn.ts';
import { DiscedgeError } from '../../../../domain/errors.ts';
import { isId, type UserId } from '../../../../domain/identifiers.ts';
import { userOf } from '../../../../domain/principals/principal.ts';
import type { TokenSequence } from '../../../../domain/token-sequence.ts';
import type { AppParts } from '../../../app-parts.ts';
import { OF_A_MODEL } from '../../../possible-errors.ts';
import { requireKnown } from '../../../requests/parameters.ts';
import { type ServedTurn, serveTurn } from '../../../serve-turn.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { samplingOf } from '../sampling.ts';
import { allOver } from '../side-by-side.ts';
import { COMPLETION_PARAMETERS, CompletionBody } from './completion-body.ts';
import {
  CompletionStream,
  PlainCompletion,
  PlainCompletionEvent,
  type PromptReply,
  plainCompletion,
} from './completion-reply.ts';

const ID_BYTES = 12;

/** OpenAI's plain completions: the client's own prompts, of which nothing is kept. */
export function completionRoutes(app: TypedApp, parts: AppParts): void {
  const { environment } = parts.node;
  app.post(
    '/completions',
    {
      config: { isTurn: true },
      schema: {
        operationId: 'createCompletion',
        tags: ['turns'],
        summary: 'Go on with prompts as they are',
        description: 'Nothing is stored. Texts of control tokens are control tokens.',
        body: CompletionBody,
        response: {
          200: {
            description: 'Whole, or with `stream: true` as events, of which the schema is that of their data.',
            content: {
              'application/json': { schema: PlainCompletion },
              'text/event-stream': { schema: PlainCompletionEvent },
            },
          },
        },
        errors: [...OF_A_MODEL, 'unsupported_parameter', 'context_overflow', 'overloaded', 'shutting_down'],
      },
    },
    async (request, reply) => serveTurn({ request, reply, environment }, completion(request, parts)),
  );
}

function completion(
  { body, principal }: FastifyRequest<{ Body: CompletionBody }>,
  { models, node }: AppParts,
): ServedTurn<readonly PromptReply[], PlainCompletion> {
  requireKnown(body, COMPLETION_PARAMETERS);
  if (body.echo && body.stream)
    throw new DiscedgeError('invalid_request', 'echo is for replies that are not streamed', { param: 'echo' });
  const { name: model, contextManager } = models.find(body.model);
  const { clock, random } = node.environment;
  const id = `cmpl-${Buffer.from(random.bytes(ID_BYTES)).toString('hex')}`;
  const head = { id, created: Math.floor(clock.now() / 1000), model };
  const { n = 1 } = body;
  const userId = userOf(principal, body.user !== undefined && isId(body.user) ? (body.user as UserId) : undefined);
  const asked = promptsOf(body).flatMap((prompt) =>
    Array.from({ length: n }, (_, choice) => ({ choice, request: { ...requestOf(body, prompt, choice), userId } })),
  );
  const stream = body.stream ? new CompletionStream(head, body) : undefined;
  return {
    run: (observer) =>
      allOver(
        asked.map(async ({ choice, request }, index) => {
          const own = {
            ...observer,
            part: (piece: Parameters<typeof observer.part>[0]) => {
              stream?.next(index);
              observer.part(piece);
            },
          };
          return { choice, reply: await contextManager.forward(request, own) };
        }),
      ),
    whole: (replies) => plainCompletion(head, replies, body),
    stream,
  };
}

/** A list of numbers is one prompt, any other several. */
function promptsOf({ prompt }: CompletionBody): readonly (string | TokenSequence)[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as TokenSequence] : (prompt as readonly (string | TokenSequence)[]);
}

function requestOf(body: CompletionBody, prompt: string | TokenSequence, choice: number): ForwardRequest {
  const { logprobs, max_tokens: maxTokens, stream = false, echo = false } = body;
  // Without any the LLM Service tells nothing; what is not asked for is left out again.
  const probabilities = logprobs === undefined ? undefined : Math.max(1, logprobs);
  return {
    ...{ maxTokens, stream },
    ...samplingOf(body, { choice, probabilities }),
    prompt: [prompt],
    promptText: echo,
  };
}
