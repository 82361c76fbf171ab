type Message = Readonly<Record<string, unknown>>;

const user = (content: unknown): Message => ({ role: 'user', content });
const assistant = (content: string, more: Message = {}): Message => ({ role: 'assistant', content, ...more });
const system: Message = { role: 'system', content: ' Be brief. ' };
const thought = '<think>\nOne\n</think>\n\nTwo. ';

const TOOL = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather <now>',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city'],
    },
  },
};
const BARE_TOOL = { type: 'function', function: { name: 'time', parameters: { type: 'object' } } };
const CALL = {
  id: 'call00001',
  type: 'function',
  function: { name: 'weather', arguments: { city: 'Köln "Süd"', days: 2, exact: true } },
};
const RESULT = { role: 'tool', name: 'weather', tool_call_id: 'call00001', content: '{"t": 20}' };

/** What a template is given beside the BOS and EOS texts, as transformers and llama.cpp give it. */
export const CONVERSATIONS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'first turn': { messages: [user(' Hi ')] },
  'three turns': { messages: [user('Hi'), assistant('Hello. '), user('More\n'), assistant('Yes;'), user('Go on')] },
  'three turns under a system message': {
    messages: [system, user('Hi'), assistant('Hello'), user('More'), assistant('Yes'), user('Go on')],
  },
  'thinking in two replies': {
    messages: [user('Hi'), assistant(thought), user('More'), assistant(thought), user('Go on')],
  },
  'thinking as a field': {
    messages: [user('Hi'), assistant('Two.', { reasoning_content: 'One', thinking: 'One' }), user('More')],
  },
  'thinking switched off': { messages: [user('Hi'), assistant('Two.'), user('More')], enable_thinking: false },
  'switched off by a word': { messages: [{ role: 'system', content: '/no_think' }, user('Hi')] },
  answered: { messages: [user('Hi'), assistant(thought)], add_generation_prompt: false },
  tools: { messages: [system, user('Weather?')], tools: [TOOL] },
  'tools without properties, no system message': { messages: [user('Time?')], tools: [BARE_TOOL, TOOL] },
  'a call and its result': {
    messages: [user('Weather?'), assistant('', { tool_calls: [CALL] }), RESULT],
    tools: [TOOL],
  },
  'a call in the past': {
    messages: [user('Weather?'), assistant('', { tool_calls: [CALL] }), RESULT, assistant('Warm.'), user('Thanks')],
    tools: [TOOL],
  },
  'content in parts': {
    messages: [
      user([
        { type: 'text', text: 'Hi ' },
        { type: 'text', text: 'there' },
      ]),
    ],
  },
  'two user messages': { messages: [user('Hi'), user('there')] },
};
