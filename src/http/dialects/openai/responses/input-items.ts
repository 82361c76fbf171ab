import { DiscedgeError } from '../../../../domain/errors.ts';
import type { ContentPart } from '../../../../domain/record/message-content.ts';
import type { Message, Role } from '../../../../domain/record/turn-record.ts';
import { unsupported } from '../../../parameters.ts';

export type InputItem = Readonly<Record<string, unknown>>;

/** Items of one request: a long conversation handed over whole. */
export const INPUT_ITEMS_MAX = 10_000;

const ROLES: readonly string[] = ['user', 'assistant', 'system', 'developer'];
/** Known of OpenAI's API, and answered by nothing here. */
const UNSUPPORTED_PARTS: Readonly<Record<string, string>> = {
  input_image: 'the model reads text only',
  input_file: 'the model reads text only',
  input_audio: 'the model reads text only',
};

/** Finds the message that an item's id names; undefined when there is none. */
export type ResolveItem = (id: string) => Promise<readonly Message[] | undefined>;

/**
 * Input as messages. What an assistant said and called in neighbouring items is one message. Throws `invalid_request` and
 * `unsupported_parameter`, naming the item, for what cannot be read.
 */
export async function messagesOf(
  input: string | readonly InputItem[],
  resolve: ResolveItem,
  name = 'input',
): Promise<Message[]> {
  if (typeof input === 'string') return [{ role: 'user', content: wellFormed(input, name) }];
  if (input.length > INPUT_ITEMS_MAX) throw invalid(name, `${name} has more than ${INPUT_ITEMS_MAX} items`);
  const messages: Message[] = [];
  for (const [index, item] of input.entries()) {
    const at = `${name}[${index}]`;
    if (item.type === 'item_reference') {
      const found = await resolve(textField(item, 'id', at));
      if (found === undefined) throw invalid(at, `${at} refers to an item that is not known here`);
      for (const message of found) append(messages, message);
    } else append(messages, messageOf(item, at));
  }
  return messages;
}

function append(messages: Message[], message: Message): void {
  const last = messages.at(-1);
  if (last?.role === 'assistant' && message.role === 'assistant') {
    messages[messages.length - 1] = { role: 'assistant', content: [...partsOf(last), ...partsOf(message)] };
  } else messages.push(message);
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
  if (typeof content === 'string') return wellFormed(content, at);
  if (!Array.isArray(content)) throw invalid(at, `${at} has no content: a string, or a list of parts`);
  return content.map((part, index) => partText(part, `${at}.content[${index}]`)).join('\n');
}

function partText(part: unknown, at: string): string {
  const { type, text, refusal } = (part ?? {}) as Record<string, unknown>;
  if (type === 'input_text' || type === 'output_text' || type === 'text') {
    if (typeof text === 'string') return wellFormed(text, at);
    throw invalid(at, `${at}.text must be a string`);
  }
  if (type === 'refusal' && typeof refusal === 'string') return wellFormed(refusal, at);
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

function wellFormed(text: string, at: string): string {
  if (text.isWellFormed()) return text;
  throw invalid(at, `${at} has half a surrogate pair: it is not Unicode text`);
}

function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', message, { param });
}
