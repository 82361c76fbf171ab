import type { ContentPart } from '../../../../domain/record/message-content.ts';
import type { Message, Role } from '../../../../domain/record/turn-record.ts';
import { invalid, unicode, unsupported } from '../../../requests/parameters.ts';
import { withSummary } from './compaction.ts';

export type InputItem = Readonly<Record<string, unknown>>;

/** Items of one request: a long conversation handed over whole. */
export const INPUT_ITEMS_MAX = 10_000;
/** References among them: each has a stored turn read. */
export const ITEM_REFERENCES_MAX = 256;

const ROLES: readonly string[] = ['user', 'assistant', 'system', 'developer'];
/** Known of OpenAI's API, and answered by nothing here. */
const UNSUPPORTED_PARTS: Readonly<Record<string, string>> = {
  input_image: 'the model reads text only',
  input_file: 'the model reads text only',
  input_audio: 'the model reads text only',
};

/** What a request does not say itself: items that it names by their ids, and summaries that it keeps sealed. */
export interface ItemSources {
  /** The message that an item's id names; undefined when there is none. */
  readonly resolve: (id: string) => Promise<readonly Message[] | undefined>;
  /** The summary in a compaction; undefined for one that this cluster has not made. */
  readonly summaryIn: (sealed: string) => string | undefined;
  /** What all of them may bring in together: characters of their contents as JSON. */
  readonly charactersMax: number;
}

/**
 * Input as messages. What an assistant said and called in neighbouring items is one message. Throws `invalid_request` and
 * `unsupported_parameter`, naming the item, for what cannot be read.
 */
export async function messagesOf(
  input: string | readonly InputItem[],
  sources: ItemSources,
  name = 'input',
): Promise<Message[]> {
  if (typeof input === 'string') return [{ role: 'user', content: unicode(input, name) }];
  if (input.length > INPUT_ITEMS_MAX) throw invalid(name, `${name} has more than ${INPUT_ITEMS_MAX} items`);
  if (input.filter(isReference).length > ITEM_REFERENCES_MAX)
    throw invalid(name, `${name} has more than ${ITEM_REFERENCES_MAX} items of type item_reference`);
  let messages: Message[] = [];
  let charactersLeft = sources.charactersMax;
  for (const [index, item] of input.entries()) {
    const at = `${name}[${index}]`;
    if (item.type === 'compaction') {
      messages = withSummary(messages, summaryIn(item, at, sources));
      continue;
    }
    if (!isReference(item)) {
      messages.push(messageOf(item, at));
      continue;
    }
    const found = await sources.resolve(textField(item, 'id', at));
    if (found === undefined) throw invalid(at, `${at} refers to an item that is not known here`);
    charactersLeft -= charactersIn(found);
    if (charactersLeft < 0)
      throw invalid(
        at,
        `up to ${at} items of type item_reference bring in more than ${sources.charactersMax} characters`,
      );
    messages.push(...found);
  }
  return withAssistantsJoined(messages);
}

function summaryIn(item: InputItem, at: string, { summaryIn }: ItemSources): string {
  const summary = summaryIn(textField(item, 'encrypted_content', at));
  if (summary !== undefined) return summary;
  throw invalid(`${at}.encrypted_content`, `${at}.encrypted_content is no compaction that this cluster has made`);
}

const isReference = ({ type }: InputItem) => type === 'item_reference';

function charactersIn(messages: readonly Message[]): number {
  return messages.reduce((sum, { content }) => sum + JSON.stringify(content).length, 0);
}

function withAssistantsJoined(messages: readonly Message[]): Message[] {
  const joined: Message[] = [];
  let parts: ContentPart[] | undefined;
  for (const message of messages) {
    const last = joined.at(-1);
    if (last?.role !== 'assistant' || message.role !== 'assistant') {
      joined.push(message);
      parts = undefined;
      continue;
    }
    if (parts === undefined) {
      parts = [...partsOf(last)];
      joined[joined.length - 1] = { role: 'assistant', content: parts };
    }
    for (const part of partsOf(message)) parts.push(part);
  }
  return joined;
}

const partsOf = ({ content }: Message): readonly ContentPart[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

function messageOf(item: InputItem, at: string): Message {
  const { type = 'message' } = item;
  switch (type) {
    case 'message':
      return { role: roleOf(item, at), content: contentOf(item.content, at) };
    case 'function_call': {
      const [callId, name, args] = [textField(item, 'call_id', at), textField(item, 'name', at), item.arguments ?? ''];
      if (typeof args !== 'string') throw invalid(at, `${at}.arguments must be a string of JSON`);
      return { role: 'assistant', content: [{ type: 'tool-call', callId, name, arguments: args }] };
    }
    case 'function_call_output': {
      const output = contentOf(item.output ?? '', `${at}.output`);
      return {
        role: 'tool',
        content: [{ type: 'tool-result', callId: textField(item, 'call_id', at), isError: false, output }],
      };
    }
    case 'reasoning':
      return { role: 'assistant', content: [{ type: 'thinking', text: thinkingOf(item) }] };
    default:
      throw unsupported(at, `${at} is of type ${JSON.stringify(type)}, which this node cannot put before the model`);
  }
}

function roleOf({ role }: InputItem, at: string): Role {
  if (typeof role === 'string' && ROLES.includes(role)) return role as Role;
  throw invalid(at, `${at}.role must be one of ${ROLES.join(', ')}`);
}

function contentOf(content: unknown, at: string): string {
  if (typeof content === 'string') return unicode(content, at);
  if (!Array.isArray(content)) throw invalid(at, `${at} has no content: a string, or a list of parts`);
  return content.map((part, index) => partText(part, `${at}.content[${index}]`)).join('\n');
}

function partText(part: unknown, at: string): string {
  const { type, text, refusal } = (part ?? {}) as Record<string, unknown>;
  if (type === 'input_text' || type === 'output_text' || type === 'text') {
    if (typeof text === 'string') return unicode(text, at);
    throw invalid(at, `${at}.text must be a string`);
  }
  if (type === 'refusal' && typeof refusal === 'string') return unicode(refusal, at);
  const why = UNSUPPORTED_PARTS[String(type)];
  if (why !== undefined) throw unsupported(at, `${at} is of type ${String(type)}: ${why}`);
  throw invalid(at, `${at} is of no type that is known: send input_text`);
}

function thinkingOf({ content, summary }: InputItem): string {
  const parts = Array.isArray(content) && content.length > 0 ? content : Array.isArray(summary) ? summary : [];
  return parts.map((part) => (typeof part?.text === 'string' ? part.text : '')).join('\n');
}

function textField(item: InputItem, name: string, at: string): string {
  const value = item[name];
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(at, `${at}.${name} is missing, or not a string`);
}
