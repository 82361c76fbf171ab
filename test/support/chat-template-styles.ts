import type { ConversationTrait, TemplateClass } from '../../src/llm-service/chat-template.ts';

/**
 * Chat templates in the styles of well-known model families, written for these tests. `controls` are the control tokens
 * of the family's vocabulary, `end` the one that ends a reply.
 */
export interface TemplateStyle {
  readonly source: string;
  readonly controls: readonly string[];
  readonly bosText: string;
  readonly eosText: string;
  readonly end: string;
  /** What openSession does with a system message: `own` block, `inside` the first user message, or `refused`. */
  readonly system: 'own' | 'inside' | 'refused';
}

const CHATML_CONTROLS = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'];
const CHATML_END = { bosText: '', eosText: '<|im_end|>', end: '<|im_end|>', controls: CHATML_CONTROLS } as const;

/** Templates under which turns can be appended. */
export const APPENDABLE_STYLES = {
  chatml: {
    ...CHATML_END,
    system: 'own',
    source: `{%- for message in messages -%}
{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`,
  },
  chatmlDefaultSystem: {
    ...CHATML_END,
    system: 'own',
    source: `{%- if messages[0].role != 'system' -%}{{ '<|im_start|>system\\nAnswer helpfully.<|im_end|>\\n' }}{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`,
  },
  llama3: {
    controls: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '<|end_of_text|>'],
    bosText: '<|begin_of_text|>',
    eosText: '<|end_of_text|>',
    end: '<|eot_id|>',
    system: 'own',
    source: `{{- bos_token -}}
{%- macro block(role, text) -%}{{ '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + text | trim + '<|eot_id|>' }}{%- endmacro -%}
{%- for message in messages -%}{{ block(message.role, message.content) }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}`,
  },
  llama3WithDate: {
    controls: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
    bosText: '<|begin_of_text|>',
    eosText: '<|eot_id|>',
    end: '<|eot_id|>',
    system: 'own',
    source: `{{- bos_token -}}
{%- set today = strftime_now('%d %b %Y') if strftime_now is defined else 'unknown' -%}
{%- set ns = namespace(system='', rest=messages) -%}
{%- if messages[0].role == 'system' -%}{%- set ns.system = messages[0].content | trim -%}{%- set ns.rest = messages[1:] -%}{%- endif -%}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday: ' + today + '\\n\\n' + ns.system + '<|eot_id|>' -}}
{%- for message in ns.rest -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}`,
  },
  llama2: {
    controls: ['<s>', '</s>'],
    bosText: '<s>',
    eosText: '</s>',
    end: '</s>',
    system: 'inside',
    source: `{%- set has_system = messages[0]['role'] == 'system' -%}
{%- set turns = messages[1:] if has_system else messages -%}
{%- for turn in turns -%}
{%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('roles must alternate, user first') }}{%- endif -%}
{%- if turn['role'] == 'user' -%}
{{ bos_token + '[INST] ' }}{%- if has_system and loop.first -%}{{ '<<SYS>>\\n' + messages[0]['content'].strip() + '\\n<</SYS>>\\n\\n' }}{%- endif -%}{{ turn['content'].strip() + ' [/INST]' }}
{%- else -%}{{ ' ' + turn['content'].strip() + ' ' + eos_token }}{%- endif -%}
{%- endfor -%}`,
  },
  mistral: {
    controls: ['<s>', '</s>', '[INST]', '[/INST]'],
    bosText: '<s>',
    eosText: '</s>',
    end: '</s>',
    system: 'refused',
    source: `{{ bos_token }}{%- for m in messages -%}
{%- if m['role'] == 'user' -%}{{ '[INST] ' + m['content'] + ' [/INST]' }}
{%- elif m['role'] == 'assistant' -%}{{ m['content'] + eos_token }}
{%- else -%}{{ raise_exception('only user and assistant roles') }}{%- endif -%}
{%- endfor -%}`,
  },
  gemma: {
    controls: ['<bos>', '<eos>', '<start_of_turn>', '<end_of_turn>'],
    bosText: '<bos>',
    eosText: '<eos>',
    end: '<end_of_turn>',
    system: 'refused',
    source: `{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{{ raise_exception('no system role here') }}{%- endif -%}
{%- for m in messages -%}
{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('roles must alternate') }}{%- endif -%}
{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}`,
  },
  zephyr: {
    controls: ['<s>', '</s>'],
    bosText: '<s>',
    eosText: '</s>',
    end: '</s>',
    system: 'own',
    source: `{%- for m in messages -%}
{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}`,
  },
  phi: {
    controls: ['<|system|>', '<|user|>', '<|assistant|>', '<|end|>', '<|endoftext|>'],
    bosText: '',
    eosText: '<|endoftext|>',
    end: '<|end|>',
    system: 'own',
    source: `{%- for m in messages -%}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- else -%}{{ eos_token }}{%- endif -%}`,
  },
  deepseek: {
    controls: ['<|bos|>', '<|eos|>', '<|User|>', '<|Assistant|>'],
    bosText: '<|bos|>',
    eosText: '<|eos|>',
    end: '<|eos|>',
    system: 'own',
    source: `{%- set ns = namespace(system='') -%}
{%- for m in messages if m['role'] == 'system' -%}{%- set ns.system = ns.system + m['content'] -%}{%- endfor -%}
{{ bos_token + ns.system }}
{%- for m in messages -%}
{%- if m['role'] == 'user' -%}{{ '<|User|>' + m['content'] }}{%- endif -%}
{%- if m['role'] == 'assistant' -%}{{ '<|Assistant|>' + m['content'] + eos_token }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|Assistant|>' }}{%- endif -%}`,
  },
  labelled: {
    controls: ['<|bos|>', '<|eos|>'],
    bosText: '<|bos|>',
    eosText: '<|eos|>',
    end: '<|eos|>',
    system: 'own',
    source: `{{ bos_token }}{%- for m in messages -%}
{%- if m['role'] == 'user' -%}{{ 'User: ' + m['content'] + '\\n\\n' }}
{%- elif m['role'] == 'assistant' -%}{{ 'Assistant: ' + m['content'] + eos_token }}
{%- else -%}{{ m['content'] + '\\n\\n' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}`,
  },
} as const satisfies Record<string, TemplateStyle>;

export type AppendableStyle = keyof typeof APPENDABLE_STYLES;

const CHATML_LOOP = `{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}`;
const CHATML_ASK = `{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`;

/** Templates under which earlier turns are not what every turn is, their classes, and a part of the sentence that says why. */
export const CHANGING_STYLES: Readonly<
  Record<
    string,
    { source: string; classes: Partial<Record<ConversationTrait, TemplateClass>>; why: RegExp | undefined }
  >
> = {
  'strips the reasoning of all but the newest reply': {
    classes: { thinking: 'follow' },
    why: /leaves the reasoning out/,
    source: `{%- set ns = namespace(last=0) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{%- set text = m.content -%}
{%- if m.role == 'assistant' and '</think>' in text and loop.index0 < ns.last -%}{%- set text = text.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}
{{ '<|im_start|>' + m.role + '\\n' + text + '<|im_end|>\\n' }}
{%- endfor -%}${CHATML_ASK}`,
  },
  'strips reasoning wherever it is': {
    classes: { thinking: 'follow' },
    why: /leaves the reasoning out/,
    source: `{%- for m in messages -%}
{{ '<|im_start|>' + m.role + '\\n' + (m.content.split('</think>')[-1] if m.role == 'assistant' else m.content) + '<|im_end|>\\n' }}
{%- endfor -%}${CHATML_ASK}`,
  },
  'begins the reply with a mark that history leaves out': {
    classes: { plain: 'follow' },
    why: /leaves the end of a turn's prompt out/,
    source: `${CHATML_LOOP}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}`,
  },
  'writes a channel before replies that the prompt did not have': {
    classes: { plain: 'follow' },
    why: /text before a past reply that was not in its prompt/,
    source: `{%- for m in messages -%}{{ '<|im_start|>' + m.role + ('<|channel|>final' if m.role == 'assistant' else '') + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant' }}{%- endif -%}`,
  },
  'puts the system message before the last user message': {
    classes: { plain: 'append', system: 'rewrite' },
    why: /writes the system message anew/,
    source: `{%- set has_system = messages[0].role == 'system' -%}
{%- set turns = messages[1:] if has_system else messages -%}
{{ bos_token }}{%- for m in turns -%}
{%- if m.role == 'user' -%}{{ '[INST] ' }}{%- if has_system and loop.last -%}{{ messages[0].content + '\\n\\n' }}{%- endif -%}{{ m.content + '[/INST]' }}
{%- else -%}{{ ' ' + m.content + eos_token }}{%- endif -%}
{%- endfor -%}`,
  },
  'numbers the turns': {
    classes: { plain: 'append' },
    why: undefined,
    source: `{%- for m in messages -%}
{%- if m.role == 'user' -%}{{ '[Round ' ~ (loop.index0 // 2 + 1) ~ ']\\nQ: ' + m.content + '\\n' }}{%- else -%}{{ 'A: ' + m.content + '\\n' }}{%- endif -%}
{%- endfor -%}{%- if add_generation_prompt -%}{{ 'A:' }}{%- endif -%}`,
  },
  'keeps only the last message': {
    classes: { plain: 'refused' },
    why: /leaves out user messages/,
    source: `{{ '<|im_start|>user\\n' + messages[-1].content + '<|im_end|>\\n' }}${CHATML_ASK}`,
  },
  'marks the newest user message': {
    classes: { plain: 'follow' },
    why: /writes messages differently/,
    source: `{%- for m in messages -%}{{ '<|im_start|>' + m.role + (' (new)' if loop.last else '') + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}${CHATML_ASK}`,
  },
  'treats later turns differently under a system message': {
    classes: { plain: 'append', system: 'append' },
    why: undefined,
    source: `{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + ('<|im_end|>\\n' if messages[0].role == 'system' else '<|im_end|>') }}{%- endfor -%}${CHATML_ASK}`,
  },
  'knows one turn only': {
    classes: { plain: 'refused' },
    why: /refuses it: "one turn only"/,
    source: `{%- if messages | length > 2 -%}{{ raise_exception('one turn only') }}{%- endif -%}${CHATML_LOOP}${CHATML_ASK}`,
  },
};
