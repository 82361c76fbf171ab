import { DiscedgeError } from '../../domain/errors.ts';
import type { Preamble } from '../../domain/record/preamble.ts';
import type { Summary } from '../../domain/record/summary.ts';
import type { Message, RawPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { commonPrefixLength, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { ChatTemplate, TemplateMessage } from '../../llm-service/chat-template.ts';
import { type Layer, layeredText } from '../layers/layer.ts';
import { addedMessages, type TurnRequest } from '../turn/turn.ts';
import { KnownCalls } from './known-calls.ts';
import { saidMessages } from './said-messages.ts';

/** Begins as no text does that stands in its place. */
const ANOTHER_LAYER: Pick<Layer, 'text'> = { text: '\ufffc' };

/** What of a conversation stands in a prompt: its turns from one on, and what stands for those before. */
interface RawStretch {
  readonly firstTurn: number;
  readonly summary: Summary | undefined;
}

type LayerTexts = readonly Pick<Layer, 'text'>[];

/** The answered turns of a raw session and the one that is asked, to be rendered whole. */
export class RawConversation {
  readonly turns: readonly Turn[];
  readonly #calls = new KnownCalls();
  readonly #asked: readonly TemplateMessage[];
  readonly #request: TurnRequest;
  readonly #template: ChatTemplate;
  readonly #preamble: Preamble;

  constructor(
    turns: readonly Turn[],
    request: TurnRequest,
    { template, preamble }: { readonly template: ChatTemplate; readonly preamble: Preamble },
  ) {
    this.turns = turns;
    this.#request = request;
    this.#template = template;
    this.#preamble = preamble;
    for (const turn of turns) this.#calls.addTurn({ payload: rawPayload(turn) });
    this.#asked = saidMessages(addedMessages(request), new KnownCalls(this.#calls));
  }

  render({ layers, ...from }: RawStretch & { readonly layers: readonly Layer[] }): Promise<TokenId[]> {
    return this.#render([...this.#said(from), ...this.#asked], layers);
  }

  /**
   * How many ids of what was said before this turn stand, in its prompt, behind the first layer that has changed: behind those that
   * have not, `unchanged`.
   */
  async behind(
    prompt: TokenSequence,
    { unchanged, ...from }: RawStretch & { readonly unchanged: readonly Layer[] },
  ): Promise<number> {
    const said = this.#said(from);
    const others = [...unchanged, ANOTHER_LAYER];
    const otherwise = await this.#render([...said, ...this.#asked], others);
    const before = said.length === 0 ? [] : await this.#render(said, others);
    const asked = otherwise.length - commonPrefixLength(otherwise, before);
    return Math.max(0, prompt.length - asked - commonPrefixLength(prompt, otherwise));
  }

  #render(given: readonly TemplateMessage[], layers: LayerTexts): Promise<TokenId[]> {
    const { preamble, messages } = layered(this.#preamble, given, layers);
    return this.#template.renderWhole(messages, this.#request.reasoning, preamble);
  }

  /** Before them a system message of turn 1, whatever is dropped. */
  #said({ firstTurn, summary }: RawStretch): TemplateMessage[] {
    const said = (messages: readonly Message[]) => saidMessages(messages, this.#calls);
    const before = this.turns.filter(({ record }) => record.turn < firstTurn);
    const system = before.flatMap((turn) => rawPayload(turn).messages.filter(({ role }) => role === 'system'));
    const standing = summary?.payload.mode === 'raw' ? exchange(summary.payload) : [];
    const left = this.turns.slice(before.length).flatMap((turn) => exchange(rawPayload(turn)));
    return [...said(system), ...said(standing), ...said(left)];
  }
}

function exchange({ messages, reply }: RawPayload): Message[] {
  return [...messages, { role: 'assistant', content: reply }];
}

/** Layers open the instructions, else the session's own system message, and are instructions where there is neither. */
function layered(
  preamble: Preamble,
  messages: readonly TemplateMessage[],
  layers: LayerTexts,
): { readonly preamble: Preamble; readonly messages: readonly TemplateMessage[] } {
  if (layers.length === 0) return { preamble, messages };
  const { instructions } = preamble;
  const [first, ...others] = messages;
  if (instructions !== undefined || first?.role !== 'system') {
    return { preamble: { ...preamble, instructions: layeredText(layers, instructions) }, messages };
  }
  return { preamble, messages: [{ ...first, content: layeredText(layers, first.content) }, ...others] };
}

export function rawPayload(turn: Turn): RawPayload {
  if (turn.record.payload.mode !== 'raw')
    throw new DiscedgeError('mode_mismatch', 'this session was not opened in mode "raw"');
  return turn.record.payload;
}
