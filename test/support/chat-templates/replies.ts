import type { TextMessage } from '../../../src/domain/record/turn-record.ts';
import { strftime } from '../../../src/llm-service/chat-template/strftime.ts';
import { JinjaTemplate } from '../../../src/llm-service/jinja/template.ts';
import type { TemplateFamily } from './families.ts';

export interface Reply {
  readonly thought?: string | undefined;
  readonly answer: string;
}

/** How the models of a family reason: what they write after a prompt, and how their template is given it. */
interface Thinking {
  /** All of a reply but its end. */
  write(thought: string, answer: string, prompt: string): string;
  message(thought: string, answer: string): Omit<TextMessage, 'role'>;
}

const inTags = (start: string, end: string, between: string): Thinking => ({
  write: (thought, answer, prompt) => `${prompt.endsWith(start) ? '' : start}${thought}${end}${between}${answer}`,
  message: (thought, answer) => ({ content: `${start}${thought}${end}${between}${answer}` }),
});
const LINES = inTags('<think>\n', '\n</think>', '\n\n');
const FINAL = '<|start|>assistant<|channel|>final<|message|>';

const THINKING: Readonly<Record<string, Thinking>> = {
  'command-r7b': {
    write: (thought, answer) => `<|START_THINKING|>${thought}<|END_THINKING|><|START_RESPONSE|>${answer}`,
    message: (thought, answer) => ({ content: `<|START_THINKING|>${thought}<|END_THINKING|>${answer}` }),
  },
  'deepseek-r1-distill': LINES,
  'gemma-4': inTags('<|channel>thought\n', '<channel|>', ''),
  'glm-4-6': {
    write: (thought, answer) => `\n<think>${thought}</think>\n${answer}`,
    message: (thought, answer) => ({ content: `<think>${thought}</think>\n${answer}` }),
  },
  'gpt-oss': {
    write: (thought, answer) => `<|channel|>analysis<|message|>${thought}<|end|>${FINAL}${answer}`,
    message: (thought, answer) => ({ content: answer, thinking: thought }) as Omit<TextMessage, 'role'>,
  },
  'lfm2-5': LINES,
  'minimax-m2': LINES,
  'nemotron-nano': LINES,
  qwen3: LINES,
  'seed-oss': {
    write: (thought, answer) => `<seed:think>${thought}</seed:think>${answer}`,
    message: (thought, answer) => ({ content: answer, reasoning_content: thought }) as Omit<TextMessage, 'role'>,
  },
  smollm3: LINES,
};

export const NOW = Date.UTC(2026, 0, 31, 12);

export function thinks({ name }: Pick<TemplateFamily, 'name'>): boolean {
  return name in THINKING;
}

/** A conversation by the template itself, with its generation prompt; throws what it raises. */
export function writtenBy(
  family: TemplateFamily,
  messages: readonly object[],
  tools?: readonly object[],
  generationPrompt = true,
): string {
  return compiled(family).render(
    {
      messages,
      ...(tools && { tools }),
      add_generation_prompt: generationPrompt,
      bos_token: family.bosText,
      eos_token: family.eosText,
    },
    {
      raise_exception: (reason) => {
        throw new Error(String(reason));
      },
      strftime_now: (format) => strftime(NOW, String(format)),
    },
  );
}

const templates = new Map<string, JinjaTemplate>();

function compiled({ name, source }: TemplateFamily): JinjaTemplate {
  let template = templates.get(name);
  if (template === undefined) {
    template = new JinjaTemplate(source);
    templates.set(name, template);
  }
  return template;
}

/** What a model of the family writes after this conversation, with the token that ends it. */
export function replyAfter(
  family: TemplateFamily,
  messages: readonly object[],
  reply: Reply,
  tools?: readonly object[],
): string {
  const prompt = writtenBy(family, messages, tools);
  // A model writes what its template has between the prompt and the answer, and between that and the end.
  const [before, after] = aroundReply(family, prompt, messages, tools);
  const thinking = THINKING[family.name];
  if (reply.thought !== undefined && thinking !== undefined) {
    return thinking.write(reply.thought, reply.answer, prompt) + after;
  }
  return before + reply.answer + after;
}

const STANDS_FOR = 'q0q0q0';

function aroundReply(
  family: TemplateFamily,
  prompt: string,
  messages: readonly object[],
  tools: readonly object[] | undefined,
): [string, string] {
  const end = family.ends[0] ?? '';
  const history = writtenBy(
    family,
    [...messages, { role: 'assistant', content: STANDS_FOR }, { role: 'user', content: '-' }],
    tools,
  );
  const at = history.indexOf(STANDS_FOR);
  const behind = at + STANDS_FOR.length;
  const before = history.startsWith(prompt) && at >= prompt.length ? history.slice(prompt.length, at) : '';
  const endAt = history.indexOf(end, behind);
  return [before, endAt === -1 ? end : history.slice(behind, endAt) + end];
}

/** The reply as the template is given it. */
export function messageOf({ name }: TemplateFamily, { thought, answer }: Reply): TextMessage {
  const thinking = THINKING[name];
  const given =
    thought === undefined || thinking === undefined ? { content: answer } : thinking.message(thought, answer);
  return { role: 'assistant', ...given };
}
