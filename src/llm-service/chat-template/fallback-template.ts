import type { LlmDescription, LlmService } from '../llm-service.ts';

/** Where a chat template's source comes from: the model, or one of the fallbacks below. */
export type TemplateOrigin = 'model' | 'chatml' | 'plain';

/** What llama.cpp assumes of a model without a template. */
const CHATML = `{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

const PLAIN = `{% for message in messages %}{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}\
{% elif message.role == 'user' %}{{ 'User: ' + message.content + '\\n' }}\
{% elif message.role == 'assistant' %}{{ 'Assistant: ' + message.content + '\\n' }}\
{% else %}{{ raise_exception('only system, user and assistant messages') }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}`;

/**
 * The model's own template; for a model without one ChatML, where its vocabulary has `<|im_start|>` and `<|im_end|>` as
 * control tokens, else `User: …` and `Assistant: …` lines.
 */
export async function templateSource(
  { chatTemplate }: Pick<LlmDescription, 'chatTemplate'>,
  tokenize: LlmService['tokenize'],
): Promise<{ origin: TemplateOrigin; source: string }> {
  if (chatTemplate !== undefined) return { origin: 'model', source: chatTemplate };
  const isControl = async (text: string): Promise<boolean> => {
    const parsed = await tokenize(text, { parseSpecial: true });
    const unparsed = await tokenize(text, { parseSpecial: false });
    return parsed.length === 1 && parsed[0] !== unparsed[0];
  };
  return (await isControl('<|im_start|>')) && (await isControl('<|im_end|>'))
    ? { origin: 'chatml', source: CHATML }
    : { origin: 'plain', source: PLAIN };
}
