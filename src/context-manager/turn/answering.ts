import type { SessionKey } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import { replyReserve } from '../../domain/session/context-window.ts';
import type { ChatTemplate } from '../../llm-service/chat-template.ts';
import type { GenerationEnd, LlmService } from '../../llm-service/llm-service.ts';
import { type LayerSource, NO_LAYERS } from '../layers/layer.ts';
import type { Beginning } from '../modes/context-beginning.ts';
import type { Mode, Prompt } from '../modes/mode.ts';
import { reasoningTokens } from '../modes/written-reply.ts';
import type { NodeResources } from '../node-resources.ts';
import { withAdded } from './added-items.ts';
import type { FairPlaces } from './fair-places.ts';
import { callableTools, heldSampling, requireTools } from './reply/asked-form.ts';
import { callIds } from './reply/call-ids.ts';
import { generateReply, type LlmWork } from './reply/generate-reply.ts';
import type { ReplyReading } from './reply/reply-reader.ts';
import type { Generated } from './reply/turn-reply.ts';
import { modeOf, refuseLateSystem } from './request-rules.ts';
import type { ReplyOptions, TurnObserver, TurnRequest } from './turn.ts';
import type { OpenPass } from './turn-gate.ts';

export interface AnsweringParts {
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  readonly node: NodeResources;
  readonly reading: ReplyReading;
  readonly modes: Readonly<Record<StoredMode, Mode>>;
  /** What a session is opened in where neither its request nor the node says. */
  readonly openingMode: StoredMode;
  /** At the LLM Service. */
  readonly places: FairPlaces;
  /** Absent: there are none. */
  readonly layers: LayerSource | undefined;
}

/** Builds the prompt of a turn and has the model answer it, whether the turn is kept or not. */
export class Answering {
  readonly #parts: AnsweringParts;

  constructor(parts: AnsweringParts) {
    this.#parts = parts;
  }

  /** `beginning`: see {@link BuildInput}. Throws what a mode's `build` throws, and what no turn may say. */
  async build(
    request: TurnRequest,
    { session, base }: Pick<OpenPass, 'session' | 'base'>,
    beginning?: Beginning,
  ): Promise<{ mode: StoredMode; prompt: Prompt }> {
    const answered = session.history.lastAnswered(base);
    const added = withAdded(request, session.history.addedUpTo(base));
    const mode = modeOf(request, answered) ?? this.#parts.openingMode;
    refuseLateSystem(added, answered);
    const replyTokens = this.#replyReserve(request);
    requireTools(request);
    const given = this.#parts.layers?.of(session.key.userId, request.withoutLayers ?? []) ?? NO_LAYERS;
    const layers = given instanceof Promise ? await given : given;
    return {
      mode,
      prompt: await this.#parts.modes[mode].build({
        ...{ request: added, session, base: answered, replyTokens, layers },
        ...(beginning && { beginning }),
      }),
    };
  }

  /** Waits for a place at the LLM Service. Throws what that throws, and `rate_limited`. */
  async generate(
    prompt: Pick<Prompt, 'ids' | 'tools'>,
    key: SessionKey | undefined,
    options: ReplyOptions,
    observer: TurnObserver,
    work: LlmWork,
  ): Promise<Generated> {
    const { llm, template, node, reading, places } = this.#parts;
    const { contextTokens: windowTokens } = llm.description;
    const promptTokens = prompt.ids.length;
    const allowedTokens = this.maxTokens(options);
    const maxTokens = Math.min(allowedTokens, Math.max(1, windowTokens - promptTokens));
    const tools = callableTools(options, prompt.tools);
    const reader = await reading.reader({
      prompt: prompt.ids,
      tools: tools && new Set(tools.map(({ name }) => name)),
      newCallId: callIds(node.environment.random),
    });
    const sampling = heldSampling(options, { tools, template, begun: reader.begun });
    const held = { ...options, sampling };
    const { states } = node;
    const asked = { prompt: prompt.ids, maxTokens, key, options: held, observer, reader, places, states, work };
    const { end, read } = await paidFor(observer.account, promptTokens + maxTokens, (onIds) =>
      generateReply(llm, { ...asked, onIds }),
    );
    node.metrics.generated(llm.description.identity.name, end.usage);
    return { end, read, promptTokens, maxTokens: allowedTokens, windowTokens };
  }

  /** Ids of a reply that is not stored that are reasoning. */
  reasoningTokens({ end, read }: Generated): Promise<number> {
    return reasoningTokens(end, read.parts, this.#parts);
  }

  /** The reply's length in ids: what was asked for, within the node's limit. */
  maxTokens({ maxTokens }: ReplyOptions): number {
    const { replyTokensDefault, replyTokensMax } = this.#parts.node.options;
    if (maxTokens === 'most') return replyTokensMax;
    return Math.min(maxTokens ?? replyTokensDefault, replyTokensMax);
  }

  #replyReserve(request: ReplyOptions): number {
    return replyReserve(this.#parts.llm.description.contextTokens, this.maxTokens(request));
  }
}

/**
 * Has the ids of a generation counted: at most `idsMax` while it is under way, then those that it took. Of one that fails, those of
 * the reply that were there count.
 */
async function paidFor<T extends { readonly end: GenerationEnd }>(
  account: TurnAccount | undefined,
  idsMax: number,
  generate: (onIds: ((count: number) => void) | undefined) => Promise<T>,
): Promise<T> {
  const settle = account?.reserve(idsMax);
  if (settle === undefined) return generate(undefined);
  let spent = 0;
  try {
    const generated = await generate((count) => {
      spent += count;
    });
    const { evaluatedTokens, predictedTokens } = generated.end.usage;
    spent = evaluatedTokens + predictedTokens;
    return generated;
  } finally {
    settle(spent);
  }
}
