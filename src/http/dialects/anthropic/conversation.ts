import { DiscedgeError } from '../../../domain/errors.ts';
import type { ContentPart } from '../../../domain/record/message-content.ts';
import type { Message } from '../../../domain/record/turn-record.ts';
import { unicode, unsupported } from '../../requests/parameters.ts';
import type { MessagesBody } from './messages-body.ts';

/** Its further fields depend on its type, and are checked where they are read. */
type Block = { readonly type: string } & Readonly<Record<string, unknown>>;
type Content = string | readonly Block[];

/** What a block of each type may say; `cache_control` is not looked at, as the cache follows the conversation. */
const KNOWN: ReadonlyMap<string, readonly string[]> = new Map([
  ['text', ['text', 'citations']],
  ['thinking', ['thinking', 'signature']],
  ['tool_use', ['id', 'name', 'input', 'caller']],
  ['tool_result', ['tool_use_id', 'content', 'is_error']],
]);
const ID_CHARS_MAX = 128;

/**
 * The messages of a conversation, the system's first. Throws `invalid_request` for a tool's result without its call and what
 * else cannot be, `unsupported_parameter` for what is more than text, thinking and tools, each with the place.
 */
export function conversationOf({ system, messages }: Pick<MessagesBody, 'system' | 'messages'>): Message[] {
  if (messages.at(-1)?.role === 'assistant')
    throw unsupported('messages', 'messages end with what the assistant is to go on with, which is not supported');
  const said = system === undefined ? '' : textOf(system, 'system');
  const conversation: Message[] = said === '' ? [] : [{ role: 'system', content: said }];
  const open = new Set<string>();
  for (const [at, { role, content }] of messages.entries()) {
    const where = `messages.${at}.content`;
    if (role === 'user') conversation.push(...userMessages(content, open, where));
    else conversation.push({ role, content: replied(content, open, where) });
  }
  return conversation;
}

/** Results of tools, and what the user says beside them, in the order in which they stand. */
function userMessages(content: Content, open: Set<string>, where: string): Message[] {
  if (typeof content === 'string') return [{ role: 'user', content: unicode(content, where) }];
  const messages: Message[] = [];
  let texts: string[] = [];
  const say = () => {
    if (texts.length > 0) messages.push({ role: 'user', content: texts.join('\n') });
    texts = [];
  };
  for (const [at, block] of content.entries()) {
    const place = `${where}.${at}`;
    if (block.type !== 'tool_result') {
      texts.push(textIn(block, place));
      continue;
    }
    say();
    messages.push(toolResult(block, open, place));
  }
  say();
  if (messages.length === 0) throw invalid(where, 'a message says something');
  return messages;
}

function toolResult(block: Block, open: ReadonlySet<string>, place: string): Message {
  requireKnownBlock(block, place);
  const callId = idIn(block.tool_use_id, `${place}.tool_use_id`);
  if (!open.has(callId))
    throw invalid(`${place}.tool_use_id`, 'no tool_use of this id stands in the assistant message before it');
  const output = block.content === undefined ? '' : textOf(block.content as Content, place);
  return { role: 'tool', content: [{ type: 'tool-result', callId, isError: block.is_error === true, output }] };
}

/** Nothing but text is a text. */
function replied(content: Content, open: Set<string>, where: string): Message['content'] {
  open.clear();
  if (typeof content === 'string') return unicode(content, where);
  const parts = content.map((block, at) => repliedPart(block, `${where}.${at}`));
  for (const part of parts) if (part.type === 'tool-call') open.add(part.callId);
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return texts.length === parts.length
    ? texts.join('')
    : parts.filter((part) => part.type !== 'text' || part.text !== '');
}

function repliedPart(block: Block, place: string): ContentPart {
  requireKnownBlock(block, place);
  switch (block.type) {
    case 'thinking':
      return { type: 'thinking', text: texted(block.thinking, `${place}.thinking`) };
    case 'tool_use': {
      const callId = idIn(block.id, `${place}.id`);
      const name = idIn(block.name, `${place}.name`);
      return { type: 'tool-call', callId, name, arguments: JSON.stringify(block.input ?? {}) };
    }
    default:
      return { type: 'text', text: textIn(block, place) };
  }
}

function textOf(content: Content, where: string): string {
  if (typeof content === 'string') return unicode(content, where);
  if (!Array.isArray(content)) throw invalid(where, 'neither a text nor a list of blocks');
  return content.map((block, at) => textIn(block, `${where}.${at}`)).join('\n');
}

function textIn(block: Block, place: string): string {
  if (block?.type !== 'text')
    throw unsupported(place, `${place} is of type ${block?.type}, which this node's models cannot read there`);
  requireKnownBlock(block, place);
  if (Array.isArray(block.citations) && block.citations.length > 0)
    throw unsupported(`${place}.citations`, 'citations are not supported');
  return texted(block.text, `${place}.text`);
}

function requireKnownBlock(block: Block, place: string): void {
  const known = KNOWN.get(block.type);
  if (known === undefined)
    throw unsupported(place, `${place} is of type ${block.type}, which this node's models cannot read`);
  const more = Object.entries(block).find(
    ([name, value]) => name !== 'type' && name !== 'cache_control' && value != null && !known.includes(name),
  );
  if (more !== undefined)
    throw unsupported(`${place}.${more[0]}`, `${more[0]} is not supported in a block of type ${block.type}`);
}

function idIn(value: unknown, param: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= ID_CHARS_MAX) return value;
  throw invalid(param, `must be a text of 1 to ${ID_CHARS_MAX} characters`);
}

function texted(text: unknown, param: string): string {
  if (typeof text !== 'string') throw invalid(param, 'must be a text');
  return unicode(text, param);
}

function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', `${param}: ${message}`, { param });
}
