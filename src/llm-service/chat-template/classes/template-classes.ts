import { NO_TOOLS, ToolList } from '../prompt-preamble.ts';
import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';
import { type CallSyntax, callSyntax } from './call-syntax.ts';
import {
  type ConversationForm,
  type ConversationOutline,
  conversationForm,
  type MessageOutline,
  PLAIN_REPLY,
  SYSTEM_MARK,
  type TurnForm,
  type TurnOutline,
} from './conversation-form.ts';
import { exchangesBack, type WindowRule, windowStart } from './conversation-window.ts';
import { type ReasoningStyle, reasoningStyle } from './reasoning-style.ts';
import { type TurnChange, turnChange } from './turn-change.ts';

/**
 * How much of the last prompt and reply is the beginning of the next prompt. `append`: all of it. `follow`: all but the newest
 * turns, a fixed number of them. `rewrite`: something earlier moves. `refused`: such conversations cannot be rendered.
 */
export type TemplateClass = (typeof TEMPLATE_CLASSES)[number];
export const TEMPLATE_CLASSES = ['append', 'follow', 'rewrite', 'refused'] as const;

/** Conversations that have a trait; a session is of the class of all the traits that it has. */
export type ConversationTrait = 'plain' | 'system' | 'thinking' | 'tools';

export interface TraitClass {
  readonly trait: ConversationTrait;
  readonly class: TemplateClass;
  /** Of how many exchanges, counted from the newest, the ids may change when a message is added; 0 for `append`. */
  readonly reach: number;
  /** A sentence; `undefined` for `append`. */
  readonly why: string | undefined;
}

/** What short conversations of marks showed about a template. */
export interface TemplateFacts {
  readonly classes: readonly TraitClass[];
  readonly window: WindowRule;
  readonly style: ReasoningStyle | undefined;
  /** How it writes calls; `undefined`: it tells models of no tools, or writes no calls that could be read again. */
  readonly calls: CallSyntax | undefined;
  /** Text after a reply that belongs to it, e.g. `<|im_end|>\n`; `undefined` where it cannot be told from what follows. */
  readonly closing: string | undefined;
  /** Text between a reply's closing and the next user message's content, e.g. `<|im_start|>user\n`. */
  readonly opener: string | undefined;
}

/** Turns of the longest conversation that is tried: two exchanges in the window, as many before it, and one that is asked. */
const TURNS_TRIED = 7;
const FOLLOW_REACH_MAX = 2;

/**
 * Renders conversations of one to {@link TURNS_TRIED} turns and compares each with the next. `renderer` must have a clock that
 * stands still. Throws {@link TemplateRefusal} where not even plain conversations can be rendered.
 */
export function templateFacts(renderer: TemplateRenderer, eosText: string): TemplateFacts {
  const style = reasoningStyle(renderer);
  const calls = tellsOfTools(renderer) ? callSyntax(renderer) : undefined;
  const probe = new Probe(renderer, { style, calls });
  const traits: ConversationTrait[] = [
    'plain',
    'system',
    ...(style === undefined ? [] : ['thinking' as const]),
    'tools',
  ];
  const classes = traits.map((trait) => probe.classOf(trait));
  const [plain] = classes;
  if (plain?.class === 'refused') throw new TemplateRefusal(plain.why ?? '');
  const tried = classes.filter((found) => found.class !== 'refused').map(({ trait }) => trait);
  const window = tried.every((trait) => probe.windowHolds(trait)) ? 'exchanges' : 'whole';
  return { classes, window, style, calls, ...probe.replyBorder(eosText) };
}

/** With contents as texts, or where the template cannot carry a conversation of those, as lists of parts. Throws what `probe` throws. */
export function factsOf(probe: (contents: 'text' | 'parts') => TemplateFacts): {
  facts: TemplateFacts;
  contents: 'text' | 'parts';
} {
  try {
    return { facts: probe('text'), contents: 'text' };
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    try {
      return { facts: probe('parts'), contents: 'parts' };
    } catch {
      throw error;
    }
  }
}

class Probe {
  readonly #renderer: TemplateRenderer;
  readonly #style: ReasoningStyle | undefined;
  readonly #calls: CallSyntax | undefined;

  constructor(renderer: TemplateRenderer, { style, calls }: Pick<TemplateFacts, 'style' | 'calls'>) {
    this.#renderer = renderer;
    this.#style = style;
    this.#calls = calls;
  }

  classOf(trait: ConversationTrait): TraitClass {
    try {
      const found = turnCounts().flatMap((count) => this.#changes(trait, count));
      const reach = Math.max(0, ...found.map(({ back }) => back));
      if (reach === 0) return { trait, class: 'append', reach, why: undefined };
      const moved = found.some(({ lostSystem }) => lostSystem);
      const farthest = found.reduce((far, other) => (other.back > far.back ? other : far));
      const rewrites = moved || reach > FOLLOW_REACH_MAX;
      return {
        trait,
        class: rewrites ? 'rewrite' : 'follow',
        reach,
        why: moved ? MOVES_SYSTEM : whyOf(farthest, trait),
      };
    } catch (error) {
      if (!(error instanceof TemplateRefusal)) throw error;
      return { trait, class: 'refused', reach: 0, why: error.message };
    }
  }

  /** Whether what is rendered of the last exchanges alone is what they are in the whole conversation, and all before stands. */
  windowHolds(trait: ConversationTrait): boolean {
    try {
      return turnCounts().every((count) => {
        const turns = conversation(trait, count);
        const start = windowStart(turns.slice(0, -1), 'exchanges');
        const whole = this.#form(trait, turns).turns;
        const seen = this.#form(trait, turns.slice(start), start === 0).turns;
        const before = count === 1 ? [] : this.#form(trait, conversation(trait, count - 1)).turns;
        return (
          seen.every((form, index) => sameForm(form, whole[start + index])) &&
          whole.slice(0, start).every((form, index) => sameForm(form, before[index]))
        );
      });
    } catch (error) {
      if (error instanceof TemplateRefusal) return false;
      throw error;
    }
  }

  /** Where a reply ends and the next message begins. */
  replyBorder(eosText: string): Pick<TemplateFacts, 'closing' | 'opener'> {
    const user: TurnOutline = { messages: [{ role: 'user' }], reply: PLAIN_REPLY };
    const answered = this.#form('plain', [user, user]).text;
    const end = answered.slice(answered.lastIndexOf(this.#renderer.mark('1.a')) + this.#renderer.mark('1.a').length);
    const afterReply = this.#form('plain', [user, user, { ...user, reply: undefined }]).turns[2]?.literals[0] as string;
    const closing = closingOf(end, afterReply, eosText);
    return { closing, opener: closing === undefined ? undefined : afterReply.slice(closing.length) };
  }

  /** What changes of the turns before when turn `count` is asked. */
  #changes(trait: ConversationTrait, count: number) {
    const asked = conversation(trait, count);
    if (count === 1) {
      this.#form(trait, asked);
      return [];
    }
    const last = conversation(trait, count - 1);
    const [before, now] = [this.#form(trait, last).turns, this.#form(trait, asked).turns];
    return before.flatMap((form, index) => {
      const { reply } = asked[index] as TurnOutline;
      const change = turnChange(form, now[index] as TurnForm, reply, { policy: 'as-template' });
      if (change === undefined) return [];
      const lostSystem = form.marks.includes(SYSTEM_MARK) && !(now[index] as TurnForm).marks.includes(SYSTEM_MARK);
      return [{ change, back: exchangesBack(last, index), before: form, now: now[index] as TurnForm, lostSystem }];
    });
  }

  #form(trait: ConversationTrait, turns: readonly TurnOutline[], fromStart = true): ConversationForm {
    const tools = trait === 'tools' ? PROBED_TOOLS : NO_TOOLS;
    const outline: ConversationOutline = { system: trait === 'system', instructions: false, tools, fromStart, turns };
    return conversationForm(this.#renderer, outline, { style: this.#style, calls: this.#calls });
  }
}

/** `count` turns with the trait, the last still to be answered. */
function conversation(trait: ConversationTrait, count: number): TurnOutline[] {
  return Array.from({ length: count }, (_, index) => {
    const isResult = trait === 'tools' && index % 2 === 1;
    const asks: MessageOutline = isResult
      ? { role: 'tool', answers: { name: PROBED_TOOL, place: 0 } }
      : { role: 'user' };
    const messages = trait === 'system' && index === 0 ? [{ role: 'system' as const }, asks] : [asks];
    const calls = trait === 'tools' && !isResult ? [PROBED_TOOL] : [];
    return { messages, reply: index === count - 1 ? undefined : { reasoned: trait === 'thinking', calls } };
  });
}

const PROBED_TOOL = 'tool_q';
const PROBED_TOOLS = new ToolList([
  {
    name: PROBED_TOOL,
    description: 'A tool.',
    parameters: { type: 'object', properties: { argument_q: { type: 'string', description: 'An argument.' } } },
  },
]);

/** Whether a prompt names the tools that it is given. */
function tellsOfTools(renderer: TemplateRenderer): boolean {
  const messages = [{ role: 'user', content: renderer.mark('u') }];
  try {
    return renderer.render(messages, { generationPrompt: true, tools: PROBED_TOOLS.variable }).includes(PROBED_TOOL);
  } catch (error) {
    if (error instanceof TemplateRefusal) return false;
    throw error;
  }
}

function turnCounts(): number[] {
  return Array.from({ length: TURNS_TRIED }, (_, index) => index + 1);
}

function sameForm(a: TurnForm, b: TurnForm | undefined): boolean {
  return b !== undefined && a.literals.join('\0') === b.literals.join('\0') && a.marks.join() === b.marks.join();
}

const MOVES_SYSTEM = 'it writes the system message anew with each new message';

function whyOf(found: { change: TurnChange; before: TurnForm }, trait: ConversationTrait): string {
  const { messages, reply } = found.change;
  if (messages !== undefined) return 'it writes messages differently once they are past';
  if (trait === 'thinking') return 'it leaves the reasoning out of past replies';
  const unless = reply === 'written' ? undefined : reply?.unless;
  return unless === undefined
    ? "it leaves the end of a turn's prompt out once the turn is past"
    : 'it writes text before a past reply that was not in its prompt';
}

/** Some templates end a conversation that asks for no reply with EOS, which is not part of the reply's own closing. */
function closingOf(end: string, afterReply: string, eosText: string): string | undefined {
  if (afterReply.startsWith(end)) return end;
  if (eosText === '' || !end.endsWith(eosText)) return undefined;
  const shorter = end.slice(0, -eosText.length);
  return afterReply.startsWith(shorter) ? shorter : undefined;
}
