import type { Role } from '../../../domain/record/turn-record.ts';
import type { ToolList } from '../prompt-preamble.ts';
import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';
import { type CallSyntax, callIdIn, type MarkedCall, markCalls, toolCalls } from './call-syntax.ts';
import type { ReasoningStyle } from './reasoning-style.ts';

/** What of a message a template gets to see: who speaks, and of calls and results which tools they are of. */
export interface MessageOutline {
  readonly role: Role;
  /** Of an assistant's message: the names of the tools that it calls, and whether it says something before. */
  readonly calls?: readonly string[];
  readonly says?: boolean;
  /** Of a tool's message: the call that it answers. */
  readonly answers?: CallPlace;
}

/** A call of the reply before, or of an assistant's message before. */
export interface CallPlace {
  readonly name: string;
  /** Which of its calls it is, from 0. */
  readonly place: number;
}

/** Whether it begins with reasoning, and the names of the tools that it calls. */
export interface ReplyOutline {
  readonly reasoned: boolean;
  readonly calls: readonly string[];
}

export const PLAIN_REPLY: ReplyOutline = { reasoned: false, calls: [] };

/** What of a turn a template gets to see. Never the contents. */
export interface TurnOutline {
  readonly messages: readonly MessageOutline[];
  /** `undefined`: it is still to be answered. */
  readonly reply: ReplyOutline | undefined;
}

/** A stretch of a conversation, oldest turn first. */
export interface ConversationOutline {
  /** Whether the session opens with a system message. */
  readonly system: boolean;
  /** Whether instructions stand before it. */
  readonly instructions: boolean;
  readonly tools: ToolList;
  /** Whether `turns` begins with the session's first; if not, one exchange stands for all that came before. */
  readonly fromStart: boolean;
  readonly turns: readonly TurnOutline[];
}

/**
 * How a template writes one turn, with its contents taken out: literal, mark, literal, …, and for a turn that is still to
 * be answered a last literal, the generation prompt. It begins behind the reply of the turn before, so with that reply's end.
 */
export interface TurnForm {
  readonly literals: readonly string[];
  /** {@link INSTRUCTIONS_MARK}, {@link SYSTEM_MARK}, the number of one of its messages, {@link REASONING_MARK} or {@link ANSWER_MARK}. */
  readonly marks: readonly string[];
}

export interface ConversationForm {
  /** What is written before them, of an exchange that stands for all that came before. */
  readonly before: string;
  /** One for each turn of the outline. */
  readonly turns: readonly TurnForm[];
  /** The dates that the template printed: format and text. The form holds as long as they do. */
  readonly dates: ReadonlyMap<string, string>;
  readonly text: string;
}

/** The content of the session's system message, in whichever turn it stands. */
export const SYSTEM_MARK = 's';
/** The content of the instructions that stand before the conversation. */
export const INSTRUCTIONS_MARK = 'i';
export const REASONING_MARK = 'r';
/** What a reply says, without its reasoning. */
export const ANSWER_MARK = 'a';
/** What a message says before it calls tools. */
const SAID_MARK = 't';
const BEFORE = 'before';

export interface FormOptions {
  readonly style: ReasoningStyle | undefined;
  readonly calls: CallSyntax | undefined;
  /** Dates of another form are printed again, so that two can be compared while the clock runs. */
  readonly dates?: ReadonlyMap<string, string>;
  /** Put around the contents of the last turn's messages, and the instructions where it is the first one too, to see whether the template removes it. */
  readonly padding?: { readonly start: string; readonly end: string };
}

/**
 * Renders a conversation of marks and takes it apart. Throws {@link TemplateRefusal} when the template raises an exception,
 * leaves out or repeats a content, or moves one, other than the system message, out of its turn.
 */
export function conversationForm(
  renderer: TemplateRenderer,
  outline: ConversationOutline,
  { style, calls: syntax, dates: given, padding = { start: '', end: '' } }: FormOptions,
): ConversationForm {
  const { system, instructions, tools, fromStart, turns } = outline;
  const messages: object[] = [];
  const called: { readonly calls: readonly MarkedCall[]; readonly mark: string; readonly said: string }[] = [];
  const callsOf = (names: readonly string[], mark: string) => {
    const calls = names.map((name, place) => ({ name, mark: renderer.mark(`${mark}.${place}`) }));
    called.push({ calls, mark: renderer.mark(mark), said: renderer.mark(`${mark}.${SAID_MARK}`) });
    return { tool_calls: toolCalls(calls) };
  };
  if (instructions) {
    const { start, end } = turns.length === 1 ? padding : { start: '', end: '' };
    messages.push({ role: 'system', content: start + renderer.mark(INSTRUCTIONS_MARK) + end });
  }
  if (!fromStart) {
    if (system) messages.push({ role: 'system', content: renderer.mark(SYSTEM_MARK) });
    messages.push({ role: 'user', content: renderer.mark(`${BEFORE}.0`) });
    messages.push({ role: 'assistant', content: renderer.mark(`${BEFORE}.${ANSWER_MARK}`) });
  }
  for (const [index, { messages: own, reply }] of turns.entries()) {
    const { start, end } = index === turns.length - 1 ? padding : { start: '', end: '' };
    for (const [place, { role, calls, says, answers }] of own.entries()) {
      const mark = isSystem(outline, index, place) ? SYSTEM_MARK : `${index}.${place}`;
      const said = says ? renderer.mark(`${mark}.${SAID_MARK}`) : '';
      const content = calls === undefined ? start + renderer.mark(mark) + end : said;
      const answered = answers && { name: answers.name, tool_call_id: callIdIn(answers.place) };
      messages.push({ role, content, ...answered, ...(calls && callsOf(calls, mark)) });
    }
    if (reply === undefined) continue;
    const [reasoning, answer] = [`${index}.${REASONING_MARK}`, `${index}.${ANSWER_MARK}`];
    const calls = reply.calls.length === 0 ? undefined : callsOf(reply.calls, answer);
    const said = calls === undefined ? renderer.mark(answer) : '';
    if (reply.reasoned && style === undefined) throw new TemplateRefusal('knows no reasoning');
    const content = reply.reasoned ? style?.message(renderer.mark(reasoning), said) : { content: said };
    messages.push({ role: 'assistant', ...content, ...calls });
  }
  const dates = new Map(given);
  const generationPrompt = turns.at(-1)?.reply === undefined;
  let text = renderer.render(messages, { generationPrompt, dates, tools: tools.variable });
  for (const { calls, mark, said } of called) {
    if (syntax === undefined) throw new TemplateRefusal('knows no calls of tools');
    text = markCalls(text, calls, { syntax, mark, said });
  }
  return { ...formsOf(renderer, outline, text), dates, text };
}

/** Whether message `place` of turn `index` is the session's system message. */
function isSystem({ fromStart, turns }: ConversationOutline, index: number, place: number): boolean {
  return fromStart && index === 0 && place === 0 && turns[0]?.messages[0]?.role === 'system';
}

/** Cuts a rendered conversation behind each reply. */
function formsOf(
  renderer: TemplateRenderer,
  outline: ConversationOutline,
  text: string,
): Pick<ConversationForm, 'before' | 'turns'> {
  const { literals, marks } = renderer.splitAtMarks(text);
  requireContents(outline, marks);
  const forms: TurnForm[] = [];
  let from = outline.fromStart ? 0 : marks.indexOf(`${BEFORE}.${ANSWER_MARK}`) + 1;
  const before = literals
    .slice(0, from)
    .map((literal, index) => `${literal}\0${marks[index]}\0`)
    .join('');
  for (const [index, { reply }] of outline.turns.entries()) {
    const end = reply === undefined ? marks.length : marks.indexOf(`${index}.${ANSWER_MARK}`) + 1;
    const own = marks.slice(from, end).map((mark) => ownName(mark, index, outline));
    forms.push({ literals: literals.slice(from, reply === undefined ? end + 1 : end), marks: own });
    from = end;
  }
  for (const [index, { messages }] of outline.turns.entries()) {
    const stand = new Set(forms[index]?.marks);
    const moved = messages.find((_, place) => !isSystem(outline, index, place) && !stand.has(`${place}`));
    if (moved !== undefined) throw new TemplateRefusal(`moves ${moved.role} messages to another turn`);
  }
  return { before, turns: forms };
}

/** A mark's name within its turn; a mark of another turn has been moved here. */
function ownName(mark: string, index: number, outline: ConversationOutline): string {
  if (mark === SYSTEM_MARK || mark === INSTRUCTIONS_MARK) return mark;
  const [turn, name] = mark.split('.') as [string, string];
  if (turn === String(index)) return name;
  throw new TemplateRefusal(`moves ${roleOf(mark, outline)} messages to another turn`);
}

function requireContents(outline: ConversationOutline, marks: readonly string[]): void {
  const times = new Map<string, number>();
  for (const mark of marks) times.set(mark, (times.get(mark) ?? 0) + 1);
  const expected = outline.turns.flatMap(({ messages, reply }, index) => [
    ...messages.map((_, place) => (isSystem(outline, index, place) ? SYSTEM_MARK : `${index}.${place}`)),
    ...(reply === undefined ? [] : [`${index}.${ANSWER_MARK}`]),
  ]);
  if (outline.instructions) expected.push(INSTRUCTIONS_MARK);
  if (!outline.fromStart) expected.push(`${BEFORE}.${ANSWER_MARK}`);
  for (const mark of expected) {
    if (!times.has(mark)) throw new TemplateRefusal(`leaves out ${roleOf(mark, outline)} messages`);
  }
  for (const [mark, count] of times) {
    if (count > 1) throw new TemplateRefusal(`repeats ${roleOf(mark, outline)} messages`);
  }
  const replies = marks.filter((mark) => mark.endsWith(`.${ANSWER_MARK}`));
  const inOrder = expected.filter((mark) => mark.endsWith(`.${ANSWER_MARK}`) && mark.startsWith(BEFORE) === false);
  const shown = replies.filter((mark) => !mark.startsWith(BEFORE));
  if (inOrder.join() !== shown.join()) throw new TemplateRefusal('moves assistant messages');
}

function roleOf(mark: string, { turns }: ConversationOutline): Role {
  if (mark === SYSTEM_MARK || mark === INSTRUCTIONS_MARK) return 'system';
  const [turn, name] = mark.split('.') as [string, string];
  if (name === ANSWER_MARK || name === REASONING_MARK) return 'assistant';
  return turns[Number(turn)]?.messages[Number(name)]?.role ?? 'user';
}

/** How many of a form's marks, with the literals before them, are its messages'; what follows is how it is answered. */
export function messageMarks({ marks }: TurnForm): number {
  const reply = marks.findIndex((mark) => mark === ANSWER_MARK || mark === REASONING_MARK);
  return reply === -1 ? marks.length : reply;
}
