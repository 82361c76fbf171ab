import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { TextMessage } from 'discedge/internal/domain/record/turn-record';
import type { Clock } from 'discedge/internal/environment/environment';
import { textOfWhole, wholeConversation } from 'discedge/internal/llm-service/chat-template/compose/whole-conversation';
import { templateSource } from 'discedge/internal/llm-service/chat-template/fallback-template';
import { TemplateRefusal, TemplateRenderer } from 'discedge/internal/llm-service/chat-template/template-renderer';
import type { LlmService } from 'discedge/internal/llm-service/llm-service';

/** What a client that keeps the history itself has to know of the node's model. */
export interface PromptModel {
  /** Jinja source; `undefined` where the model has none. */
  readonly chatTemplate: string | undefined;
  readonly bosText: string;
  readonly eosText: string;
}

/** Writes a whole conversation out as one prompt, as a client must that keeps the history itself (paper §4, baseline). */
export class ChatPrompt {
  readonly #renderer: TemplateRenderer;

  private constructor(renderer: TemplateRenderer) {
    this.#renderer = renderer;
  }

  /** Takes the same template as the node would. Throws `scenario_nodes_unfit` for one that cannot be used. */
  static async create(model: PromptModel, tokenize: LlmService['tokenize'], clock: Clock): Promise<ChatPrompt> {
    const { source } = await templateSource(model, tokenize);
    return new ChatPrompt(refusals(() => new TemplateRenderer(source, { ...model, clock })));
  }

  /** The conversation so far, ready for the model's next reply. */
  write(messages: readonly TextMessage[]): string {
    const whole = refusals(() => wholeConversation(this.#renderer, messages, { style: undefined }));
    return textOfWhole(whole, { unended: false });
  }
}

function refusals<T>(use: () => T): T {
  try {
    return use();
  } catch (cause) {
    if (!(cause instanceof TemplateRefusal)) throw cause;
    const message = `the history cannot be written out: the model's chat template ${cause.message}`;
    throw new DiscedgeError('scenario_nodes_unfit', message, { cause });
  }
}
