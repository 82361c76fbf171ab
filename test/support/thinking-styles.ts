import type { TextMessage } from '../../src/domain/record/turn-record.ts';
import type { ConversationTrait, TemplateClass } from '../../src/llm-service/chat-template.ts';

/** A chat template written for these tests that changes what is past, in the way of a family of models. */
export interface ThinkingStyle {
  readonly source: string;
  readonly controls: readonly string[];
  readonly bosText: string;
  readonly eosText: string;
  /** Control tokens that end a reply. */
  readonly ends: readonly string[];
  readonly thinks: boolean;
  /** Whether the template wants contents as lists of parts. */
  readonly inParts?: boolean;
  readonly classes: Partial<Record<ConversationTrait, TemplateClass>>;
  /** What the model writes after a prompt. */
  reply(reply: { thought?: string; answer: string }, prompt: string): string;
  /** The same reply as a message for the template. */
  message(reply: { thought?: string; answer: string }): TextMessage;
}

const CONTROLS = ['<|im_start|>', '<|im_end|>', '<think>', '</think>'];
const CHATML = { controls: CONTROLS, bosText: '', eosText: '<|im_end|>', ends: ['<|im_end|>'], thinks: true } as const;
const ASK = `{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`;

/** Writes its reasoning between marks, the first of which the prompt may have. */
const inline: Pick<ThinkingStyle, 'reply' | 'message'> = {
  reply: ({ thought, answer }, prompt) => {
    if (thought === undefined) return `${answer}<|im_end|>`;
    const start = prompt.endsWith('<think>\n') ? '' : '<think>\n';
    return `${start}${thought}\n</think>\n\n${answer}<|im_end|>`;
  },
  message: ({ thought, answer }) => ({
    role: 'assistant',
    content: thought === undefined ? answer : `<think>\n${thought}\n</think>\n\n${answer}`,
  }),
};

const LAST_QUESTION = `{%- set ns = namespace(last=0, reply=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- elif m.role == 'assistant' -%}{%- set ns.reply = loop.index0 -%}{%- endif -%}{%- endfor -%}`;

export const THINKING_STYLES: Readonly<Record<string, ThinkingStyle>> = {
  'drops reasoning before the last question, in a text or a field (Qwen3)': {
    ...CHATML,
    ...inline,
    classes: { plain: 'append', system: 'append', thinking: 'follow' },
    source: `${LAST_QUESTION}{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- set thought = '' -%}{%- set text = m.content -%}
{%- if m.reasoning_content is string -%}{%- set thought = m.reasoning_content -%}
{%- elif '</think>' in text -%}{%- set thought = text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}{%- set text = text.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}
{%- if loop.index0 > ns.last and thought -%}{{ '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + text.lstrip('\\n') + '<|im_end|>\\n' }}
{%- else -%}{{ '<|im_start|>assistant\\n' + text + '<|im_end|>\\n' }}{%- endif -%}
{%- else -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif -%}
{%- endfor -%}${ASK}`,
  },
  'opens the reasoning in the prompt and drops it with its end (R1 and its distills)': {
    controls: ['<|bos|>', '<|eos|>', '<|User|>', '<|Assistant|>', '<think>', '</think>'],
    bosText: '<|bos|>',
    eosText: '<|eos|>',
    ends: ['<|eos|>'],
    thinks: true,
    reply: ({ thought, answer }) =>
      thought === undefined ? `${answer}<|eos|>` : `${thought}\n</think>\n\n${answer}<|eos|>`,
    message: ({ thought, answer }) => ({
      role: 'assistant',
      content: thought === undefined ? answer : `<think>\n${thought}\n</think>\n\n${answer}`,
    }),
    classes: { plain: 'follow', system: 'follow', thinking: 'follow', tools: 'refused' },
    source: `{%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' -%}{%- set ns.system = m.content -%}{%- endfor -%}
{{ bos_token + ns.system }}
{%- for m in messages -%}
{%- if m.role == 'user' -%}{{ '<|User|>' + m.content }}{%- endif -%}
{%- if m.role == 'assistant' -%}{%- set text = m.content -%}{%- if '</think>' in text -%}{%- set text = text.split('</think>')[-1] -%}{%- endif -%}{{ '<|Assistant|>' + text + eos_token }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|Assistant|><think>\\n' }}{%- endif -%}`,
  },
  'keeps reasoning in the last reply only (LFM2.5)': {
    ...CHATML,
    ...inline,
    classes: { plain: 'append', system: 'append', thinking: 'follow' },
    source: `${LAST_QUESTION}{%- for m in messages -%}
{%- set text = m.content -%}
{%- if m.role == 'assistant' and loop.index0 != ns.reply and '</think>' in text -%}{%- set text = text.split('</think>')[-1] | trim -%}{%- endif -%}
{{ '<|im_start|>' + m.role + '\\n' + text + '<|im_end|>\\n' }}
{%- endfor -%}${ASK}`,
  },
  'keeps all reasoning': {
    ...CHATML,
    ...inline,
    classes: { plain: 'append', system: 'append', thinking: 'append', tools: 'refused' },
    source: `{%- set marks = ['<think>', '</think>'] -%}{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}${ASK}`,
  },
  'writes an empty think block that vanishes': {
    ...CHATML,
    ...inline,
    thinks: false,
    classes: { plain: 'follow', system: 'follow', tools: 'refused' },
    source: `{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + (m.content.split('</think>')[-1].lstrip('\\n') if m.role == 'assistant' else m.content) + '<|im_end|>\\n' }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{%- endif -%}`,
  },
  'puts the answer into a channel of its own and closes it otherwise once it is past (gpt-oss)': {
    controls: ['<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|return|>'],
    bosText: '',
    eosText: '<|return|>',
    ends: ['<|return|>'],
    thinks: true,
    reply: ({ thought, answer }) =>
      (thought === undefined ? '' : `<|channel|>analysis<|message|>${thought}<|end|><|start|>assistant`) +
      `<|channel|>final<|message|>${answer}<|return|>`,
    message: ({ thought, answer }) =>
      ({ role: 'assistant', content: answer, ...(thought !== undefined && { thinking: thought }) }) as TextMessage,
    classes: { plain: 'follow', system: 'follow', thinking: 'follow' },
    source: `{{- '<|start|>system<|message|>You are a model.<|end|>' -}}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- if m.thinking and loop.last -%}{{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' -}}{%- endif -%}
{{- '<|start|>assistant<|channel|>final<|message|>' + m.content -}}{%- if loop.last and not add_generation_prompt -%}{{- '<|return|>' -}}{%- else -%}{{- '<|end|>' -}}{%- endif -%}
{%- elif m.role == 'system' -%}{{- '<|start|>developer<|message|># Instructions\\n\\n' + m.content + '<|end|>' -}}
{%- else -%}{{- '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start|>assistant' -}}{%- endif -%}`,
  },
  'puts the system message into the last user message (Mistral Nemo)': {
    controls: ['<s>', '</s>', '[INST]', '[/INST]'],
    bosText: '<s>',
    eosText: '</s>',
    ends: ['</s>'],
    thinks: false,
    reply: ({ answer }) => `${answer}</s>`,
    message: ({ answer }) => ({ role: 'assistant', content: answer }),
    classes: { plain: 'append', system: 'rewrite', tools: 'refused' },
    source: `{%- set has_system = messages[0].role == 'system' -%}
{%- set turns = messages[1:] if has_system else messages -%}
{{- bos_token -}}{%- for m in turns -%}
{%- if m.role == 'user' -%}{{- '[INST]' -}}{%- if has_system and loop.last -%}{{- messages[0].content + '\\n\\n' -}}{%- endif -%}{{- m.content + '[/INST]' -}}
{%- elif m.role == 'assistant' -%}{{- m.content + eos_token -}}
{%- else -%}{{- raise_exception('only user and assistant') -}}{%- endif -%}
{%- endfor -%}`,
  },
  'puts the system message into the first user message': {
    controls: ['<bos>', '<eos>', '<start_of_turn>', '<end_of_turn>'],
    bosText: '<bos>',
    eosText: '<eos>',
    ends: ['<end_of_turn>'],
    thinks: false,
    reply: ({ answer }) => `${answer}<end_of_turn>`,
    message: ({ answer }) => ({ role: 'assistant', content: answer }),
    classes: { plain: 'append', system: 'append', tools: 'refused' },
    source: `{{- bos_token -}}{%- set prefix = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' -%}
{%- set turns = messages[1:] if messages[0].role == 'system' else messages -%}
{%- for m in turns -%}
{%- if m.role not in ['user', 'assistant'] -%}{{- raise_exception('no such role') -}}{%- endif -%}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\\n' + (prefix if loop.first else '') + m.content | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}`,
  },
  'closes no reply: the model ends it with the opener of a question, which a tool result has not (GLM)': {
    controls: ['<|user|>', '<|assistant|>', '<|observation|>', '<think>', '</think>'],
    bosText: '',
    eosText: '<|user|>',
    ends: ['<|user|>', '<|observation|>'],
    thinks: false,
    reply: ({ answer }) => `<think></think>\n${answer}<|user|>`,
    message: ({ answer }) => ({ role: 'assistant', content: answer }),
    classes: { plain: 'follow' },
    source: `{%- for m in messages -%}
{%- if m.role == 'assistant' -%}{{- '<|assistant|>\n<think></think>\n' + m.content.split('</think>')[-1].strip() -}}
{%- elif m.role == 'tool' -%}{{- '<|observation|>\n' + m.content -}}
{%- else -%}{{- '<|' + m.role + '|>\n' + m.content -}}{%- endif -%}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}`,
  },
  'takes contents in parts only (models that see pictures)': {
    ...CHATML,
    ...inline,
    thinks: false,
    inParts: true,
    classes: { plain: 'append', system: 'append', tools: 'refused' },
    source: `{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' }}{%- for part in m.content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}{{ '<|im_end|>\\n' }}{%- endfor -%}${ASK}`,
  },
  'numbers the rounds': {
    controls: ['<|eos|>'],
    bosText: '',
    eosText: '<|eos|>',
    ends: ['<|eos|>'],
    thinks: false,
    reply: ({ answer }) => ` ${answer}<|eos|>`,
    message: ({ answer }) => ({ role: 'assistant', content: answer }),
    classes: { plain: 'append' },
    source: `{%- set ns = namespace(round=0) -%}{%- for m in messages -%}
{%- if m.role == 'assistant' -%}{{- 'A: ' + m.content + '<|eos|>\\n' -}}{%- else -%}{%- set ns.round = ns.round + 1 -%}{{- '[Round ' ~ ns.round ~ '] ' + m.role + ': ' + m.content + '\\n' -}}{%- endif -%}
{%- endfor -%}{%- if add_generation_prompt -%}{{- 'A:' -}}{%- endif -%}`,
  },
  'marks the newest message': {
    ...CHATML,
    ...inline,
    thinks: false,
    classes: { plain: 'follow', system: 'follow' },
    source: `{%- for m in messages -%}{{ '<|im_start|>' + m.role + (' (new)' if loop.last else '') + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor -%}${ASK}`,
  },
};
