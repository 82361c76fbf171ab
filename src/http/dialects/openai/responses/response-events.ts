import type { PartDelta } from '../../../../context-manager/turn/reply/reply-parts.ts';
import type { ContentPart } from '../../../../domain/record/message-content.ts';
import type { ServerSentEvent } from '../../../event-stream.ts';
import { type ItemIds, outputItem, outputText } from './item-views.ts';
import type { ResponseView } from './response-view.ts';

/** `from`: its index in the reply, whose parts' deltas are not mixed. */
type OpenPart = { readonly index: number; readonly from: number; readonly part: Writable };
type Writable =
  | { readonly type: 'text' | 'thinking'; text: string }
  | { readonly type: 'tool-call'; readonly callId: string; readonly name: string; arguments: string };

/**
 * The events of one response, made of what becomes certain of it. `sequence_number` says how far an event gets in the whole
 * stream: one for each event, but for a delta one for each character. So it depends on what the response is and not on the
 * pieces that it came in, and a stream that was cut is gone on with exactly, from the record and at another node as well.
 */
export class ResponseEvents {
  readonly #ids: ItemIds;
  readonly #summarized: boolean;
  /** Events up to here have been seen. */
  readonly #seen: number;
  #sequence = -1;
  #open: OpenPart | undefined;
  #events: ServerSentEvent[] = [];
  #items = 0;

  constructor({ ids, summarized, after = -1 }: { ids: ItemIds; summarized: boolean; after?: number | undefined }) {
    this.#ids = ids;
    this.#summarized = summarized;
    this.#seen = after;
  }

  begin(response: ResponseView): readonly ServerSentEvent[] {
    const running = { ...response, status: 'in_progress', output: [], usage: null, completed_at: null };
    this.#add('response.created', { response: running });
    this.#add('response.in_progress', { response: running });
    return this.#take();
  }

  delta(delta: PartDelta): readonly ServerSentEvent[] {
    if (this.#open !== undefined && this.#open.from !== delta.index) this.#closePart('completed');
    this.#open ??= this.#openPart(delta);
    const { part } = this.#open;
    const text = delta.type === 'tool-call' ? delta.arguments : delta.text;
    if (text === '') return this.#take();
    if (part.type === 'tool-call') part.arguments += text;
    else part.text += text;
    this.#addDelta(text);
    return this.#take();
  }

  /** A whole reply at once. */
  whole(parts: readonly ContentPart[]): readonly ServerSentEvent[] {
    return deltasOf(parts).flatMap((delta) => this.delta(delta));
  }

  /** The response as it is at last: completed, incomplete, failed or cancelled. */
  end(response: ResponseView): readonly ServerSentEvent[] {
    const isWhole = response.status === 'completed' || response.status === 'incomplete';
    if (isWhole && this.#open === undefined && this.#items === 0) this.#open = this.#openPart(NO_TEXT);
    if (this.#open !== undefined && isWhole) {
      this.#closePart(response.status === 'incomplete' ? 'incomplete' : 'completed');
    }
    this.#add(`response.${response.status}`, { response });
    return this.#take();
  }

  #openPart(delta: PartDelta): OpenPart {
    const part: Writable =
      delta.type === 'tool-call'
        ? { type: delta.type, callId: delta.callId, name: delta.name, arguments: '' }
        : { type: delta.type, text: '' };
    const index = this.#items++;
    const open = { index, from: delta.index, part };
    const item = this.#item(open, 'in_progress');
    const empty = part.type === 'text' ? { content: [] } : part.type === 'thinking' ? { content: [], summary: [] } : {};
    this.#add('response.output_item.added', { output_index: index, item: { ...item, ...empty } });
    const at = this.#at(open);
    if (part.type === 'text') this.#add('response.content_part.added', { ...at, part: outputText('') });
    if (part.type === 'thinking' && this.#summarized)
      this.#add('response.reasoning_summary_part.added', { ...at, part: { type: 'summary_text', text: '' } });
    return open;
  }

  #closePart(status: 'completed' | 'incomplete'): void {
    const open = this.#open as OpenPart;
    const { part } = open;
    const at = this.#at(open);
    this.#open = undefined;
    if (part.type === 'tool-call') {
      this.#add('response.function_call_arguments.done', { ...at, name: part.name, arguments: part.arguments });
    } else if (part.type === 'text') {
      this.#add('response.output_text.done', { ...at, text: part.text, logprobs: [] });
      this.#add('response.content_part.done', { ...at, part: outputText(part.text) });
    } else if (this.#summarized) {
      this.#add('response.reasoning_summary_text.done', { ...at, text: part.text });
      const summary = { type: 'summary_text', text: part.text };
      this.#add('response.reasoning_summary_part.done', { ...at, part: summary });
    } else this.#add('response.reasoning_text.done', { ...at, text: part.text });
    this.#add('response.output_item.done', { output_index: open.index, item: this.#item(open, status) });
  }

  #item({ index, part }: OpenPart, status: 'in_progress' | 'completed' | 'incomplete') {
    return outputItem(part, index, { ids: this.#ids, status, summarized: this.#summarized });
  }

  #at(open: OpenPart) {
    const place = { item_id: this.#item(open, 'completed').id, output_index: open.index };
    switch (open.part.type) {
      case 'tool-call':
        return place;
      case 'thinking':
        return this.#summarized ? { ...place, summary_index: 0 } : { ...place, content_index: 0 };
      case 'text':
        return { ...place, content_index: 0 };
      default:
        return open.part satisfies never;
    }
  }

  /** What of a delta has not been seen. */
  #addDelta(text: string): void {
    const open = this.#open as OpenPart;
    const seen = Math.min(text.length, Math.max(0, this.#seen - this.#sequence));
    this.#sequence += text.length;
    if (seen === text.length) return;
    const logprobs = open.part.type === 'text' ? { logprobs: [] } : {};
    this.#push(this.#deltaType(open.part.type), { ...this.#at(open), delta: text.slice(seen), ...logprobs });
  }

  #deltaType(type: Writable['type']): string {
    if (type === 'tool-call') return 'response.function_call_arguments.delta';
    if (type === 'text') return 'response.output_text.delta';
    return this.#summarized ? 'response.reasoning_summary_text.delta' : 'response.reasoning_text.delta';
  }

  #add(type: string, fields: object): void {
    this.#sequence++;
    if (this.#sequence > this.#seen) this.#push(type, fields);
  }

  #push(type: string, fields: object): void {
    this.#events.push({ event: type, data: { type, ...fields, sequence_number: this.#sequence } });
  }

  #take(): readonly ServerSentEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

const NO_TEXT: PartDelta = { index: -1, type: 'text', text: '' };

/** Parts as the deltas that they would come in if they came at once. */
export function deltasOf(parts: readonly ContentPart[]): PartDelta[] {
  return parts.flatMap((part, index): PartDelta[] => {
    if (part.type === 'text' || part.type === 'thinking') return [{ index, type: part.type, text: part.text }];
    if (part.type !== 'tool-call') return [];
    const { callId, name, arguments: args } = part;
    return [{ index, type: part.type, callId, name, arguments: args }];
  });
}
