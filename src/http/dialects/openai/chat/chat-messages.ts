import { type Static, Type } from 'typebox';
import { DiscedgeError } from '../../../../domain/errors.ts';
import type { ContentPart, ToolCallPart } from '../../../../domain/record/message-content.ts';
import type { Message, Role } from '../../../../domain/record/turn-record.ts';
import { unicode, unsupported } from '../../../requests/parameters.ts';
import { choice } from '../../../requests/request-fields.ts';

/** Of a conversation that is sent whole: tens of thousands of words of talk. */
export const MESSAGES_MAX = 16_384;
const PARTS_MAX = 256;
const TOOL_CALLS_MAX = 128;
const id = () => Type.String({ minLength: 1, maxLength: 128 });

const Part = Type.Object({ type: Type.String(), text: Type.Optional(Type.String()) }, { additionalProperties: true });

export const ToolCall = Type.Object({
  id: id(),
  type: choice(['function']),
  function: Type.Object({ name: id(), arguments: Type.String() }),
});

/** As OpenAI's clients send it; `null` and an empty list say nothing. */
export const ChatMessage = Type.Object(
  {
    role: choice(['system', 'developer', 'user', 'assistant', 'tool']),
    content: Type.Optional(
      Type.Union([Type.String(), Type.Array(Part, { maxItems: PARTS_MAX }), Type.Null()], {
        description: 'Text, or parts of type `text`.',
      }),
    ),
    tool_calls: Type.Optional(Type.Union([Type.Array(ToolCall, { maxItems: TOOL_CALLS_MAX }), Type.Null()])),
    tool_call_id: Type.Optional(Type.Union([id(), Type.Null()])),
    reasoning_content: Type.Optional(
      Type.Union([Type.String(), Type.Null()], { description: 'What the model thought, as the reply had it.' }),
    ),
  },
  { additionalProperties: true, title: 'ChatMessage' },
);
type ChatMessage = Static<typeof ChatMessage>;

const KNOWN: Readonly<Record<Role, readonly string[]>> = {
  system: ['content'],
  developer: ['content'],
  user: ['content'],
  assistant: ['content', 'tool_calls', 'reasoning_content'],
  tool: ['content', 'tool_call_id'],
};

/**
 * The messages of a conversation. Throws `invalid_request` for a tool's result without its call and what else cannot be,
 * `unsupported_parameter` for what is more than text and tools, each with the place. `isWhole`: nothing stands before them; else
 * their results may answer stored calls, and whoever has those refuses one without its call.
 */
export function messagesOf(said: readonly ChatMessage[], { isWhole }: { readonly isWhole: boolean }): Message[] {
  const open = new Set<string>();
  return said.map((message, at) => {
    const where = `messages.${at}`;
    refuseMore(message, where);
    if (message.role === 'tool') return toolResult(message, isWhole ? open : undefined, where);
    if (message.role !== 'assistant') return { role: message.role, content: textIn(message, where) };
    const content = replied(message, where);
    open.clear();
    for (const { id: callId } of message.tool_calls ?? []) open.add(callId);
    return { role: 'assistant', content };
  });
}

function toolResult(message: ChatMessage, open: ReadonlySet<string> | undefined, where: string): Message {
  const { tool_call_id: callId } = message;
  if (callId === undefined || callId === null) throw invalid(`${where}.tool_call_id`, 'a tool message names its call');
  if (open !== undefined && !open.has(callId)) {
    throw invalid(`${where}.tool_call_id`, 'no tool call of this id stands in the assistant message before it');
  }
  return { role: 'tool', content: [{ type: 'tool-result', callId, isError: false, output: textIn(message, where) }] };
}

/** Nothing but text is a text. */
function replied(message: ChatMessage, where: string): Message['content'] {
  const text = textIn(message, where);
  const thought = message.reasoning_content ?? '';
  const calls = (message.tool_calls ?? []).map(toolCall);
  if (thought === '' && calls.length === 0) return text;
  const parts: ContentPart[] = [];
  if (thought !== '') parts.push({ type: 'thinking', text: unicode(thought, `${where}.reasoning_content`) });
  if (text !== '') parts.push({ type: 'text', text });
  return [...parts, ...calls];
}

function toolCall({ id: callId, function: { name, arguments: args } }: Static<typeof ToolCall>): ToolCallPart {
  return { type: 'tool-call', callId, name, arguments: args };
}

/** Parts are joined as llama.cpp joins them, with line breaks. */
function textIn({ content }: ChatMessage, where: string): string {
  if (content === undefined || content === null) return '';
  if (typeof content === 'string') return unicode(content, `${where}.content`);
  const texts = content.map(({ type, text }, at) => {
    const place = `${where}.content.${at}`;
    if (type !== 'text')
      throw unsupported(place, `${place} is of type ${type}, and this node's models read text alone`);
    if (text === undefined) throw invalid(`${place}.text`, 'a part of type text has a text');
    return unicode(text, `${place}.text`);
  });
  return texts.join('\n');
}

function refuseMore(message: ChatMessage, where: string): void {
  for (const [name, value] of Object.entries(message)) {
    const saysNothing = value === null || value === undefined || (Array.isArray(value) && value.length === 0);
    if (name === 'role' || saysNothing || KNOWN[message.role].includes(name)) continue;
    throw unsupported(`${where}.${name}`, `${name} is not supported in a message of role ${message.role}`);
  }
}

function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', `${param}: ${message}`, { param });
}
