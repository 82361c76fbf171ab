import { type ContentPart, textOf } from '../../../../domain/record/message-content.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import type { ItemPrefix, ItemRef, ResponseIds, ResponseRef } from './response-ref.ts';

/** An item as OpenAI's clients read it. */
export interface ItemView {
  readonly id: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

/** Names the items of one response. */
export class ItemIds {
  readonly #ids: ResponseIds;
  readonly #ref: ResponseRef;

  constructor(ids: ResponseIds, ref: ResponseRef) {
    this.#ids = ids;
    this.#ref = ref;
  }

  of(prefix: ItemPrefix, side: ItemRef['side'], index: number): string {
    return this.#ids.item(prefix, { ...this.#ref, side, index });
  }
}

export const outputText = (text: string) => ({ type: 'output_text' as const, text, annotations: [], logprobs: [] });

/** A part of a reply as the item that it is; `summarized`: thinking is shown as its summary. */
export function outputItem(
  part: ContentPart,
  index: number,
  { ids, status, summarized }: { ids: ItemIds; status: ItemStatus; summarized: boolean },
): ItemView {
  switch (part.type) {
    case 'thinking': {
      const content = summarized ? [] : [{ type: 'reasoning_text', text: part.text }];
      const summary = summarized ? [{ type: 'summary_text', text: part.text }] : [];
      return { id: ids.of('rs_', 'out', index), type: 'reasoning', status, summary, content };
    }
    case 'tool-call': {
      const { callId: call_id, name, arguments: args } = part;
      return { id: ids.of('fc_', 'out', index), type: 'function_call', status, call_id, name, arguments: args };
    }
    default: {
      const content = [outputText(textOf([part]))];
      return { id: ids.of('msg_', 'out', index), type: 'message', status, role: 'assistant', content };
    }
  }
}

/** The items of a whole reply: at least one message, whatever the model wrote. */
export function outputItems(
  parts: readonly ContentPart[],
  { ids, isCut, summarized }: { ids: ItemIds; isCut: boolean; summarized: boolean },
): ItemView[] {
  const shown: readonly ContentPart[] = parts.length === 0 ? [{ type: 'text', text: '' }] : parts;
  return shown.map((part, index) => {
    const status = isCut && index === shown.length - 1 ? 'incomplete' : 'completed';
    return outputItem(part, index, { ids, status, summarized });
  });
}

/** What was said to the model, as the items that it came in. */
export function inputItems(messages: readonly Message[], ids: ItemIds): ItemView[] {
  const items: ItemView[] = [];
  const next = (prefix: ItemPrefix) => ids.of(prefix, 'in', items.length);
  for (const { role, content } of messages) {
    for (const part of typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content) {
      if (part.type === 'tool-result') {
        const { callId: call_id, output } = part;
        items.push({ id: next('fco_'), type: 'function_call_output', status: 'completed', call_id, output });
      } else if (part.type === 'tool-call' || part.type === 'thinking' || role === 'assistant') {
        const item = outputItem(part, 0, { ids, status: 'completed', summarized: false });
        const prefix = part.type === 'tool-call' ? 'fc_' : part.type === 'thinking' ? 'rs_' : 'msg_';
        items.push({ ...item, id: next(prefix) });
      } else {
        const said = [{ type: 'input_text', text: textOf([part]) }];
        items.push({ id: next('msg_'), type: 'message', status: 'completed', role, content: said });
      }
    }
  }
  return items;
}
