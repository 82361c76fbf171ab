import type { ConfigSources } from 'discedge/internal/config/config';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { OpenAiApi } from '../../conversation/openai-conversation.ts';
import type { ScenarioTurn } from '../../scenario/scenario.ts';
import type { ExperimentModel } from '../experiment-model.ts';
import {
  type AfterTurn,
  type ConversationScript,
  type ExperimentChoices,
  networksOf,
  type Part,
  type PlaySpec,
  scenarioOf,
} from '../plays/play.ts';
import { type LlmServiceName, nodeNames, type SiteSpec } from '../site/site.ts';
import type { EDGE_UPLINK } from './links.ts';
import { NINE_WRITTEN_TURNS } from './written-turns.ts';

/** Nine turns of 128 ids and their messages are about 1,500 ids; with room for wordy templates. */
const CONTEXT_TOKENS = 4_096;

export type Flags = NonNullable<ConfigSources['flags']>;

export interface PlayDraft {
  readonly variant: string;
  readonly mode: ContextMode;
  readonly api?: OpenAiApi;
  readonly setting?: string;
  readonly flags?: Flags;
  readonly countsSync?: boolean;
  readonly afterTurn?: AfterTurn;
  /** With this one alone. Another than the embedded one neither stops with its node nor tokenizes on it. */
  readonly llmService?: LlmServiceName;
  /** No edge node at all. */
  readonly bare?: boolean;
  readonly tokenizerIdsPerS?: number;
  readonly clientLink?: typeof EDGE_UPLINK;
}

export interface PartDraft {
  readonly part: string;
  readonly about: string;
  readonly nodes: number;
  readonly turns: readonly ScenarioTurn[];
  readonly maxTokens: number;
  readonly transcript?: boolean;
  /** Pause before each turn but the first; none if left out. */
  readonly thinkMs?: number;
  readonly site?: Partial<SiteSpec>;
  readonly plays: readonly PlayDraft[];
}

/** A part whose plays are conversations, each with every LLM Service. */
export function part(choices: ExperimentChoices, model: ExperimentModel, draft: PartDraft): Part {
  const { nodes, turns, maxTokens, transcript = false, thinkMs = 0 } = draft;
  const services: readonly LlmServiceName[] = transcript ? ['transcript'] : choices.llmServices;
  const { seed } = choices;
  const scenario = scenarioOf(draft.part, { turns, nodes: nodeNames(nodes), maxTokens, seed, thinkMs });
  const plays = services.flatMap((llmService) =>
    draft.plays.flatMap((play): PlaySpec[] => {
      if (play.llmService !== undefined && play.llmService !== llmService) return [];
      const script: ConversationScript = {
        kind: 'conversation',
        scenario,
        mode: play.mode,
        api: play.api,
        countsSync: play.countsSync === true && nodes > 1,
        afterTurn: play.afterTurn ?? 'nothing',
      };
      const { network } = choices;
      const spec: PlaySpec = {
        part: draft.part,
        variant: play.variant,
        setting: play.setting ?? 'ours',
        replySource: transcript ? 'transcript' : model.replySource,
        site: {
          nodes,
          replicating: nodes > 1 && play.mode !== 'client-side',
          llmService,
          bare: play.bare ?? false,
          slots: 1,
          contextTokens: Math.min(CONTEXT_TOKENS, model.contextTokens),
          keepsEvicted: true,
          written: transcript ? NINE_WRITTEN_TURNS : [],
          tokenizerIdsPerS: play.tokenizerIdsPerS,
          ...draft.site,
          flags: play.flags ?? {},
          network: play.clientLink === undefined ? network : { ...network, client_link: play.clientLink },
        },
        script,
      };
      return [spec];
    }),
  );
  return {
    part: draft.part,
    about: draft.about,
    variants: [...new Set(draft.plays.map(({ variant }) => variant))],
    settings: [...new Set(draft.plays.map(({ setting = 'ours' }) => setting))],
    nodes,
    turns: turns.length,
    max_tokens: maxTokens,
    networks: networksOf(plays),
    plays,
  };
}
