import { type Static, Type } from 'typebox';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { TextMessage } from '../../../domain/record/turn-record.ts';
import type { AppParts } from '../../app-parts.ts';
import { OF_A_MODEL } from '../../possible-errors.ts';
import { ModelChoice } from '../../requests/model-choice.ts';
import { choice } from '../../requests/request-fields.ts';
import type { TypedApp } from '../../typed-app.ts';

const TextPart = Type.Object({ type: choice(['text']), text: Type.String() });

const TemplateMessage = Type.Object({
  role: choice(['system', 'developer', 'user', 'assistant', 'tool']),
  content: Type.Union([Type.String(), Type.Array(TextPart)]),
});
type TemplateMessage = Static<typeof TemplateMessage>;

const TemplateBody = Type.Object({
  ...ModelChoice,
  messages: Type.Array(TemplateMessage, {
    description: 'The conversation. A reply that stands last is for the model to go on with: it is not ended.',
  }),
  add_generation_prompt: Type.Optional(Type.Boolean({ description: 'End where a reply begins; default true.' })),
  tools: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 0, description: 'None: templates are not given any.' })),
});

/** llama.cpp's `/apply-template`. */
export function templateRoute(app: TypedApp, { models }: AppParts): void {
  app.post(
    '/apply-template',
    {
      schema: {
        operationId: 'applyTemplate',
        tags: ['turns'],
        summary: "A conversation as text, under the model's chat template",
        description:
          'Only to be looked at: in the text, contents that spell control tokens can no longer be told from them.',
        body: TemplateBody,
        response: { 200: Type.Object({ prompt: Type.String() }) },
        errors: [...OF_A_MODEL, 'mode_unavailable'],
      },
    },
    async ({ body: { model, messages, add_generation_prompt: generationPrompt = true } }) => {
      const { template } = models.find(model);
      return { prompt: await template.renderText(messages.map(textMessage), { generationPrompt }) };
    },
  );
}

/** llama.cpp joins the parts of a text with line breaks. */
function textMessage({ role, content }: TemplateMessage): TextMessage {
  const text = typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
  if (text.isWellFormed()) return { role, content: text };
  throw new DiscedgeError('invalid_request', 'a message has half a surrogate pair: it is not Unicode text', {
    param: 'messages',
  });
}
