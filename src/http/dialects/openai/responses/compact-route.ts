import { type Static, Type } from 'typebox';
import { SUMMARY_REQUEST } from '../../../../context-manager/modes/summary-request.ts';
import { addedMessages, type TurnObserver, type TurnRequest } from '../../../../context-manager/turn/turn.ts';
import { DiscedgeError } from '../../../../domain/errors.ts';
import type { Principal } from '../../../../domain/principals/principal.ts';
import { OPTIONAL_LAYERS } from '../../../../domain/record/layers-left-out.ts';
import { answerText, type ContentPart, textOf } from '../../../../domain/record/message-content.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import { summaryOfAll } from '../../../../domain/session/session-summaries.ts';
import type { LlmService } from '../../../../llm-service/llm-service.ts';
import type { AppParts } from '../../../app-parts.ts';
import { clientGone } from '../../../connections/client-gone.ts';
import { invalid, type Parameters, requireKnown } from '../../../requests/parameters.ts';
import { choice } from '../../../requests/request-fields.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { Compactions, withoutRequest } from './compaction.ts';
import { CONTEXT_FIELDS } from './create-body.ts';
import type { PlannedResponse } from './planned-response.ts';
import { Item, type ResponseUsage, ResponseUsageView, responseUsage } from './response-view.ts';
import type { Responses } from './responses.ts';
import { OF_A_NEW_RESPONSE } from './responses-routes.ts';
import type { FoundResponse } from './stored-responses.ts';

const SUMMARY_TOKENS_MAX = 2_048;
const ID_BYTES = 16;

const { model, input, instructions, previous_response_id, user } = CONTEXT_FIELDS;
const CompactBody = Type.Object(
  {
    ...{ model, input, instructions, previous_response_id, user },
    prompt_cache_key: Type.Optional(Type.String()),
    service_tier: Type.Optional(choice(['auto', 'default'])),
  },
  { additionalProperties: true, title: 'CompactConversation' },
);

const PARAMETERS: Parameters = {
  known: Object.keys(CompactBody.properties),
  refused: {
    conversation: 'a conversation is kept whole; name its last response as previous_response_id',
    prompt_cache_options: 'the cache follows the conversation',
    prompt_cache_retention: 'the cache follows the conversation',
  },
};

const Compacted = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('response.compaction'),
    created_at: Type.Integer(),
    output: Type.Array(Item),
    usage: ResponseUsageView,
  },
  { title: 'CompactedConversation' },
);

/**
 * OpenAI's compaction: the model sums a conversation up, and what its users said with that summary is what the next response is to
 * read. The summary is in the reply, sealed; nothing is stored. One that is stored of just that
 * conversation is as good.
 */
export function compactRoute(app: TypedApp, parts: AppParts, responses: Responses): void {
  const { clock, random } = parts.node.environment;
  const compactions = new Compactions(parts.ids);
  const newId = (prefix: string) => `${prefix}${Buffer.from(random.bytes(ID_BYTES)).toString('hex')}`;

  app.post(
    '/responses/compact',
    {
      schema: {
        operationId: 'compactConversation',
        tags: ['responses'],
        summary: 'A shorter conversation to go on from',
        description:
          "What users said, the newest that fit into a quarter of the context window, and a summary of all of it by the model, sealed. It is the next response's `input`, at any node of the cluster.",
        body: CompactBody,
        response: { 200: Compacted },
        errors: OF_A_NEW_RESPONSE,
      },
    },
    async ({ body, principal, account }, reply) => {
      requireKnown(body, PARAMETERS);
      const signal = clientGone(reply);
      const planned = await plan(body, principal, signal);
      const { said, found } = await conversationOf(planned, body.previous_response_id, principal, signal);
      const { parts, usage } =
        (body.instructions === undefined && found && (await storedSummary(found))) ||
        (await drafted(planned, { gone: signal, account }));
      const summary = answerText(parts).trim();
      if (summary === '') throw new DiscedgeError('llm_bad_reply', 'the model has written no summary; ask again');
      const kept = await keptOf(said, planned.model.llm);
      return {
        id: newId('resp_'),
        object: 'response.compaction' as const,
        created_at: Math.floor(clock.now() / 1000),
        output: [
          ...kept.map(({ role, content }) => ({
            ...{ id: newId('msg_'), type: 'message', status: 'completed', role },
            content: [{ type: 'input_text', text: content as string }],
          })),
          { id: newId('cmp_'), type: 'compaction', encrypted_content: compactions.seal(summary, planned.ref.userId) },
        ],
        usage: responseUsage(usage),
      };
    },
  );

  /** The response that would sum it up. */
  async function plan(
    body: Static<typeof CompactBody>,
    principal: Principal,
    signal: AbortSignal,
  ): Promise<PlannedResponse> {
    const { input = [], previous_response_id: previous } = body;
    const items = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
    if (items.length === 0 && previous === undefined)
      throw invalid('input', 'there is no conversation: send input, or previous_response_id');
    const asking = { role: 'user', content: SUMMARY_REQUEST };
    return responses.planner.plan(
      { ...body, input: [...items, asking], store: true },
      { principal, headers: {} },
      signal,
    );
  }

  async function drafted(planned: PlannedResponse, owner: Pick<TurnObserver, 'gone' | 'account'>): Promise<Summed> {
    const { parts, promptTokens, usage, reasoningTokens } = await draft(planned, owner);
    const { cachedTokens, predictedTokens: outputTokens } = usage;
    return { parts, usage: { inputTokens: promptTokens, cachedTokens, outputTokens, reasoningTokens } };
  }

  /** One that was made of just that conversation, because it nears the end of the window. */
  async function storedSummary({ history, turn, model }: FoundResponse): Promise<Summed | undefined> {
    const stored = summaryOfAll(history, turn);
    if (stored === undefined) return undefined;
    const { parts } = await model.contextManager.answers.textOf(stored);
    return { parts, usage: { inputTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0 } };
  }

  async function draft({ request, model }: PlannedResponse, owner: Pick<TurnObserver, 'gone' | 'account'>) {
    if (request === undefined) throw new TypeError('a response that is kept is a turn');
    const { preamble, ...asked } = request;
    // Without other instructions its beginning stays as it is, and so in the KV cache.
    const before = preamble?.instructions !== undefined || 'opens' in request.place ? { preamble } : {};
    const summing: TurnRequest = {
      ...asked,
      ...(before as Pick<TurnRequest, 'preamble'>),
      messages: inOneMessage(request.messages),
      maxTokens: Math.min(SUMMARY_TOKENS_MAX, Math.floor(model.llm.description.contextTokens / 4)),
      form: { toolChoice: 'none', parallelToolCalls: true, format: undefined },
      overflow: 'error',
      // What it says comes back as part of a conversation, and so into records.
      withoutLayers: OPTIONAL_LAYERS,
    };
    return model.contextManager.draft(summing, { ...owner, part: () => {} }).catch((error) => {
      throw responses.inWords(request, error);
    });
  }

  /** All that was said, without the request for the summary. */
  async function conversationOf(
    { request }: PlannedResponse,
    previousId: string | undefined,
    principal: Principal,
    signal: AbortSignal,
  ) {
    const own = request === undefined ? [] : addedMessages(request).slice(0, -1);
    const previous = previousId === undefined ? undefined : responses.ids.openResponse(previousId, principal);
    if (previous === undefined) return { said: own, found: undefined };
    const found = await responses.stored.find(previous, signal).catch((error) => {
      throw request === undefined ? error : responses.inWords(request, error);
    });
    const said = [...(await responses.stored.conversationUpTo(found)), ...own];
    return { said, found: own.length === 0 ? found : undefined };
  }
}

/** A summary, and what it took to make it. */
interface Summed {
  readonly parts: readonly ContentPart[];
  readonly usage: ResponseUsage;
}

/** Many templates know no two messages of a user in a row. */
function inOneMessage(messages: readonly Message[]): readonly Message[] {
  const [last, asking] = messages.slice(-2);
  if (last?.role !== 'user' || asking === undefined) return messages;
  const content = `${textOf(last.content)}\n\n${SUMMARY_REQUEST}`;
  return [...messages.slice(0, -2), { role: 'user', content }];
}

/** What stays as it was said: what users said last, up to a quarter of the window, and what the system said. */
async function keptOf(
  said: readonly Message[],
  llm: Pick<LlmService, 'tokenize' | 'description'>,
): Promise<readonly Message[]> {
  const kept: Message[] = [];
  let tokensLeft = Math.floor(llm.description.contextTokens / 4);
  for (const { role, content } of said.toReversed()) {
    if (role !== 'user' && role !== 'system' && role !== 'developer') continue;
    const text = role === 'user' ? withoutRequest(textOf(content)) : textOf(content);
    if (text === undefined) continue;
    if (role === 'user') tokensLeft -= (await llm.tokenize(text, { parseSpecial: false })).length;
    if (role !== 'user' || tokensLeft >= 0) kept.push({ role, content: text });
  }
  return kept.reverse();
}
