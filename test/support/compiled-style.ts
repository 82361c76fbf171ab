import type { Message, TextMessage } from '../../src/domain/record/turn-record.ts';
import type { TokenSequence } from '../../src/domain/token-sequence.ts';
import {
  afterReply,
  type ChatTemplate,
  compileChatTemplate,
  type TurnSegment,
} from '../../src/llm-service/chat-template.ts';
import { JinjaTemplate } from '../../src/llm-service/jinja/template.ts';
import { APPENDABLE_STYLES, type AppendableStyle, type TemplateStyle } from './chat-template-styles.ts';
import { byteTokenizer, type ToyTokenizer, templateDescription } from './toy-tokenizer.ts';

export const STYLE_NAMES = Object.keys(APPENDABLE_STYLES) as AppendableStyle[];
export const JANUARY_31 = Date.UTC(2026, 0, 31, 12);

export interface CompiledStyle {
  readonly style: TemplateStyle;
  readonly tokenizer: ToyTokenizer;
  readonly template: ChatTemplate;
}

/** A style compiled over a toy tokenizer, on 31 January 2026. */
export async function compiledStyle(
  name: AppendableStyle,
  makeTokenizer: (controls: readonly string[]) => ToyTokenizer = byteTokenizer,
): Promise<CompiledStyle> {
  const style = APPENDABLE_STYLES[name];
  const tokenizer = makeTokenizer(style.controls);
  const description = templateDescription(style.source, { ...style, endOfGeneration: [tokenizer.control(style.end)] });
  const template = await compileChatTemplate(description, tokenizer.tokenize, { now: () => JANUARY_31 });
  return { style, tokenizer, template };
}

/** What the template itself writes, from Jinja run on the real contents: the product never does that. */
export function written(
  style: Pick<TemplateStyle, 'source' | 'bosText' | 'eosText'>,
  messages: readonly Message[],
): string {
  const source = style.source.replace(
    "strftime_now('%d %b %Y') if strftime_now is defined else 'unknown'",
    "'31 Jan 2026'",
  );
  return new JinjaTemplate(source).render({
    messages,
    add_generation_prompt: true,
    bos_token: style.bosText,
    eos_token: style.eosText,
  });
}

/** A reply as the template expects the model to write it, up to its end token: what follows the prompt in history. */
export function expectedReply(style: TemplateStyle, messages: readonly Message[], reply: string): string {
  const prompt = written(style, messages);
  const history = written(style, [...messages, { role: 'assistant', content: reply }, { role: 'user', content: '-' }]);
  const end = history.indexOf(style.end, prompt.length) + style.end.length;
  return history.slice(prompt.length, end);
}

/** What a turn adds after a plain exchange that ended with this reply. */
export async function nextSegment(
  template: ChatTemplate,
  replyIds: TokenSequence,
  messages: readonly TextMessage[],
): Promise<TurnSegment> {
  return (await template.continueSession(afterReply(replyIds), messages)).segment;
}
