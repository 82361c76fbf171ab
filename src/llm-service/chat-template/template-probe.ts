import type { Role } from '../../domain/record/turn-record.ts';
import { type Skeleton, TemplateRefusal, type TemplateRenderer } from './template-renderer.ts';

/** What short conversations of marks showed about a template. */
export interface TemplateFacts {
  /** A sentence saying why an earlier turn's ids would change, or `undefined`. */
  readonly whyNotAppendable: string | undefined;
  /** Text after a reply that belongs to it, e.g. `<|im_end|>\n`; `undefined` where it cannot be told from what follows. */
  readonly closing: string | undefined;
  /** Text between a reply's closing and the next user message's content, e.g. `<|im_start|>user\n`. */
  readonly opener: string | undefined;
}

type TurnBorder = Pick<TemplateFacts, 'closing' | 'opener'> & { readonly afterReply: string };

/**
 * Renders conversations of one, two and three turns, with and without a system message and with reasoning in a reply,
 * and compares. `renderer` must have a clock that stands still.
 */
export function probeTemplate(renderer: TemplateRenderer, eosText: string): TemplateFacts {
  try {
    const plain = probeTurns(renderer, [], eosText);
    if (acceptsSystem(renderer)) {
      const system = probeTurns(renderer, ['system'], eosText);
      if (system.afterReply !== plain.afterReply) {
        throw new TemplateRefusal('writes later turns differently when there is a system message');
      }
    }
    return { whyNotAppendable: undefined, closing: plain.closing, opener: plain.opener };
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    return { whyNotAppendable: `The model's chat template ${error.message}.`, closing: undefined, opener: undefined };
  }
}

/** Whether a conversation may open with a system message; openSession says so to the client where it may not. */
function acceptsSystem(renderer: TemplateRenderer): boolean {
  try {
    renderer.skeleton(['system', 'user'], { generationPrompt: true });
    return true;
  } catch (error) {
    if (error instanceof TemplateRefusal) return false;
    throw error;
  }
}

function probeTurns(renderer: TemplateRenderer, opening: readonly Role[], eosText: string): TurnBorder {
  const asked = (roles: readonly Role[]) => renderer.skeleton(roles, { generationPrompt: true });
  const one: Role[] = [...opening, 'user'];
  const two: Role[] = [...one, 'assistant', 'user'];
  const three: Role[] = [...two, 'assistant', 'user'];
  const [first, second, third] = [asked(one), asked(two), asked(three)];
  const reply = one.length;
  mustGrow(renderer, first, second, reply);
  mustGrow(renderer, second, third, reply + 2);
  const afterReply = second.literals[reply + 1] as string;
  if (third.literals[reply + 1] !== afterReply || third.literals[reply + 3] !== afterReply) {
    throw new TemplateRefusal('joins a reply and the next message differently from turn to turn');
  }
  mustKeepReasoning(renderer, two, second);
  const answered = renderer.skeleton([...one, 'assistant'], { generationPrompt: false });
  const closing = closingOf(answered.literals[reply + 1] as string, afterReply, eosText);
  return { afterReply, closing, opener: closing === undefined ? undefined : afterReply.slice(closing.length) };
}

/** A prompt must stay the beginning of every later one: what stands before the reply in it may only gain white space. */
function mustGrow(renderer: TemplateRenderer, prompt: Skeleton, later: Skeleton, reply: number): void {
  const history = later.text.slice(0, later.text.indexOf(renderer.mark(reply)));
  if (history.startsWith(prompt.text)) {
    if (history.slice(prompt.text.length).trim() === '') return;
    throw new TemplateRefusal('puts text before an earlier reply that was not in its prompt');
  }
  const lastMessage = renderer.mark(reply - 1);
  const end = prompt.text.indexOf(lastMessage) + lastMessage.length;
  throw new TemplateRefusal(
    history.startsWith(prompt.text.slice(0, end))
      ? "leaves the end of an earlier turn's prompt out of later turns"
      : 'rewrites the messages of earlier turns',
  );
}

function mustKeepReasoning(renderer: TemplateRenderer, roles: readonly Role[], plain: Skeleton): void {
  const reply = roles.indexOf('assistant');
  const reasoned = `<think>\n${renderer.mark('r')}\n</think>\n\n${renderer.mark('a')}`;
  const messages = roles.map((role, index) => ({ role, content: index === reply ? reasoned : renderer.mark(index) }));
  const rendered = renderer.render(messages, { generationPrompt: true });
  if (rendered !== plain.text.replace(renderer.mark(reply), () => reasoned)) {
    throw new TemplateRefusal('removes or rewrites the reasoning of earlier replies');
  }
}

/** Some templates end a conversation that asks for no reply with EOS, which is not part of the reply's own closing. */
function closingOf(end: string, afterReply: string, eosText: string): string | undefined {
  if (afterReply.startsWith(end)) return end;
  if (eosText === '' || !end.endsWith(eosText)) return undefined;
  const shorter = end.slice(0, -eosText.length);
  return afterReply.startsWith(shorter) ? shorter : undefined;
}
