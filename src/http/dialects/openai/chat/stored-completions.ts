import type { ServedModel } from '../../../../context-manager/model-directory.ts';
import type { FoundAnswer } from '../../../../context-manager/sessions/answers.ts';
import { DiscedgeError, isMissing } from '../../../../domain/errors.ts';
import type { Principal } from '../../../../domain/principals/principal.ts';
import type { Extensions } from '../../../../domain/record/extensions.ts';
import { removedAnswerExtension } from '../../../../domain/record/removed-answer.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import type { AppParts } from '../../../app-parts.ts';
import type { ResponseIds, ResponseRef } from '../responses/response-ref.ts';
import type { StoredResponses } from '../responses/stored-responses.ts';
import { type ChatNote, chatNoteOf, metadataOf, newMetadataExtensions } from './chat-note.ts';
import { finishReason, messageOf } from './chat-reply.ts';

interface FoundChoice extends FoundAnswer {
  readonly model: ServedModel;
  readonly ref: ResponseRef;
  readonly note: ChatNote;
}

/** A completion as a request names it. */
export interface NamedCompletion {
  readonly id: string;
  readonly principal: Principal;
}

/** Chat completions as their records say them, at whichever node. */
export class StoredCompletions {
  readonly #parts: AppParts;
  readonly #ids: ResponseIds;
  readonly #stored: StoredResponses;

  constructor(parts: AppParts, { ids, stored }: { ids: ResponseIds; stored: StoredResponses }) {
    this.#parts = parts;
    this.#ids = ids;
    this.#stored = stored;
  }

  /** Throws `completion_not_found`, and `context_stale` for one that may still come. */
  async find(named: NamedCompletion, signal: AbortSignal) {
    const found = await this.#choices(named, signal);
    const [first] = found as [FoundChoice, ...FoundChoice[]];
    const { promptTokens, cachedTokens, createdAt } = first.note;
    const completionTokens = found.reduce((sum, { turn: { record } }) => {
      return sum + (record.payload.mode === 'tokenized' ? record.payload.replyIds.length : 0);
    }, 0);
    return {
      id: named.id,
      object: 'chat.completion' as const,
      created: createdAt,
      model: first.model.name,
      choices: found.map(({ text: { parts }, turn: { record } }, index) => ({
        index,
        message: messageOf(parts),
        logprobs: null,
        finish_reason: finishReason({ stop: record.stop, parts }),
      })),
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
        prompt_tokens_details: { cached_tokens: cachedTokens },
      },
      metadata: metadataIn(first),
    };
  }

  /** What it was asked: the whole conversation up to it, oldest first. */
  async messages(named: NamedCompletion, signal: AbortSignal): Promise<readonly Message[]> {
    const [first] = (await this.#choices(named, signal)) as [FoundChoice, ...FoundChoice[]];
    return (await this.#stored.conversationUpTo(first)).slice(0, -1);
  }

  async update(named: NamedCompletion, metadata: Record<string, string>, signal: AbortSignal) {
    const [first] = (await this.#choices(named, signal)) as [FoundChoice, ...FoundChoice[]];
    await this.#note(first, newMetadataExtensions(first.ref.answerId, metadata), signal);
    return { ...(await this.find(named, signal)), metadata };
  }

  /** Removed from sight; conversations that go on from it keep it. */
  async delete(named: NamedCompletion, signal: AbortSignal): Promise<void> {
    for (const choice of await this.#choices(named, signal))
      await this.#note(choice, removedAnswerExtension(choice.ref.answerId), signal);
  }

  async #note({ model, ref }: FoundChoice, extensions: Extensions, signal: AbortSignal): Promise<void> {
    const { userId, sessionId, answerId } = ref;
    const place = { afterAnswer: answerId, repeat: 'repeated' } as const;
    const { maxWaitMs } = this.#parts.options;
    const request = { userId, sessionId, place, messages: [], extensions, ttlSeconds: undefined, maxWaitMs };
    await model.contextManager.add(request, signal);
  }

  async #choices(named: NamedCompletion, signal: AbortSignal): Promise<readonly FoundChoice[]> {
    const refs = this.#ids.openCompletion(named.id, named.principal);
    if (refs === undefined) throw notFound();
    return Promise.all(refs.map((ref) => this.#choice(ref, signal)));
  }

  async #choice(ref: ResponseRef, signal: AbortSignal): Promise<FoundChoice> {
    const model = this.#stored.modelOf(ref);
    if (model === undefined) throw notFound();
    const wait = { maxWaitMs: this.#parts.options.maxWaitMs, signal };
    const found = await model.contextManager.answers.find(ref, ref.answerId, wait).catch((error) => {
      throw isMissing(error) ? notFound() : error;
    });
    const note = chatNoteOf(found.turn.record);
    if (note === undefined) throw notFound();
    return { ...found, model, ref, note };
  }
}

/** The last that was said of it: its own record's, where there is none later. */
function metadataIn({ turn, history, ref }: FoundChoice): Record<string, string> {
  const later = history
    .tips()
    .flatMap((tip) => history.line(tip))
    .filter(({ record }) => metadataOf(record, ref.answerId, { isOwn: false }) !== undefined)
    .sort((a, b) => a.record.writtenAtMs - b.record.writtenAtMs || (a.hash < b.hash ? -1 : 1));
  const last = later.at(-1);
  if (last !== undefined) return metadataOf(last.record, ref.answerId, { isOwn: false }) ?? {};
  return metadataOf(turn.record, ref.answerId, { isOwn: true }) ?? {};
}

function notFound(): DiscedgeError {
  return new DiscedgeError('completion_not_found', 'there is no such chat completion', { param: 'completion_id' });
}
