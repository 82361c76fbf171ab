import type { ConfigSources } from 'discedge/internal/config/config';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { OpenAiApi } from '../conversation/openai-conversation.ts';
import type { WrittenTurn } from '../nodes/transcript-llm.ts';
import type { ScenarioTurn } from '../scenario/scenario.ts';
import type { ExperimentModel } from './experiment-model.ts';
import { EDGE_UPLINK, linkName, POOR_UPLINK } from './links.ts';
import {
  type AfterTurn,
  type ConversationScript,
  type ExperimentChoices,
  networksOf,
  type Part,
  type PlaySpec,
  scenarioOf,
} from './play.ts';
import { type LlmServiceName, nodeNames, type SiteSpec } from './site.ts';
import { NINE_WRITTEN_TURNS } from './written-turns.ts';

/** Nine turns of 128 ids and their messages are about 1,500 ids; with room for wordy templates. */
const CONTEXT_TOKENS = 4_096;
/** Where the long context is the point. */
const LONG_CONTEXT_TOKENS = 8_192;
/** Some 3,000 ids of English in the first message, as of a document that is talked about. */
const LONG_MESSAGE_CHARS = 14_000;
const LONG_TURNS = 5;
/** Replies are not the point where context and network are. */
const SHORT_REPLY_TOKENS = 32;
const QUICK_TURNS = 4;
/** A reply of a hundred words is read in half a minute; what a turn adds is evaluated in a fraction of this. */
const READING_MS = 5_000;
const QUICK_READING_MS = 2_000;
/** Ids a second: about what tokenizers in interpreted languages do, and what they do on a small device's core. */
const SLOW_TOKENIZERS = [10_000, 2_000];

/** Node of each turn as in the paper's roaming run (§4.3), by its place in a row of stays of two or three turns. */
const STAYS = [0, 0, 1, 1, 2, 2, 3, 3, 3];

/** The consistency setting of the paper (§3.4): three retries, ten milliseconds apart. */
const PAPER_GATE: Flags = { turnGate: 'fixed', turnGateRetriesMax: 3, turnGateBackoffMs: 10 };

type Flags = NonNullable<ConfigSources['flags']>;

/** The paper's two experiments, and where their effects are larger or smaller than there. */
export function paperParts(choices: ExperimentChoices, model: ExperimentModel): Part[] {
  const parts = [
    edgeSide,
    roaming,
    handover,
    writtenReplies,
    openAi,
    cacheLost,
    slowTokenizer,
    longContext,
    slowUplink,
  ];
  return parts.map((part) => part(choices, model));
}

function edgeSide(choices: ExperimentChoices, model: ExperimentModel): Part {
  const turns = stayingTurns(choices);
  return part(choices, model, {
    part: 'edge-side',
    about: 'Context kept on the edge node, as token ids or as text; one node answers, its records go to the others.',
    nodes: choices.nodes,
    turns,
    maxTokens: choices.maxTokens,
    plays: (['tokenized', 'raw'] as const).map((mode) => ({ variant: mode, mode, countsSync: true })),
  });
}

function roaming(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'roaming',
    about: 'The client goes from node to node: context kept on the nodes against history kept by the client.',
    nodes: choices.nodes,
    turns: roamingTurns(choices),
    maxTokens: choices.maxTokens,
    plays: [
      { variant: 'tokenized', mode: 'tokenized' },
      { variant: 'tokenized', mode: 'tokenized', setting: 'paper', flags: PAPER_GATE },
      { variant: 'client-side', mode: 'client-side', setting: 'any' },
    ],
  });
}

/** Warming is for clients that read a reply before they go on. */
function handover(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'handover',
    about:
      'The client goes from node to node, and reads each reply for some seconds: nodes that evaluate ahead what arrives from the others, nodes that do not, and history kept by the client.',
    nodes: choices.nodes,
    turns: roamingTurns(choices),
    maxTokens: choices.maxTokens,
    thinkMs: choices.quick ? QUICK_READING_MS : READING_MS,
    plays: [
      { variant: 'warmed', mode: 'tokenized', flags: { warming: 'all' } },
      { variant: 'cold', mode: 'tokenized', flags: { warming: 'off' } },
      { variant: 'client-side', mode: 'client-side', llmService: 'embedded' },
      { variant: 'llama-server', mode: 'client-side', llmService: 'llama-server', bare: true },
    ],
  });
}

function writtenReplies(choices: ExperimentChoices, model: ExperimentModel): Part {
  const turns = stayingTurns(choices);
  return part({ ...choices, llmServices: [] }, model, {
    part: 'written-replies',
    about: 'Bytes between nodes for replies of real language, written beforehand; no model runs.',
    nodes: choices.nodes,
    turns,
    maxTokens: choices.maxTokens,
    transcript: true,
    plays: (['tokenized', 'raw'] as const).map((mode) => ({ variant: mode, mode, countsSync: true })),
  });
}

function openAi(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part({ ...choices, llmServices: [] }, model, {
    part: 'openai',
    about:
      "OpenAI's own client goes from node to node, by response ids or with its whole history, beside a session by turns; " +
      'replies written beforehand, no model runs.',
    nodes: choices.nodes,
    turns: roamingTurns(choices),
    maxTokens: choices.maxTokens,
    transcript: true,
    plays: [
      { variant: 'responses', mode: 'tokenized', api: 'responses' },
      { variant: 'tokenized', mode: 'tokenized' },
      { variant: 'chat', mode: 'tokenized', api: 'chat' },
    ],
  });
}

function cacheLost(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'cache-lost',
    about:
      "What the KV cache is worth: kept, taken by somebody else's prompt after every turn, gone with the node's process.",
    nodes: 1,
    turns: stayingTurns(choices),
    maxTokens: Math.min(choices.maxTokens, SHORT_REPLY_TOKENS),
    site: { slots: 1, keepsEvicted: false },
    plays: (['tokenized', 'raw'] as const).flatMap((mode) => [
      { variant: mode, mode, setting: 'cache-kept' },
      { variant: mode, mode, setting: 'slot-taken', afterTurn: 'slot-taken' as const },
      {
        variant: mode,
        mode,
        setting: 'node-restarted',
        afterTurn: 'node-restarted' as const,
        llmService: 'embedded' as const,
      },
    ]),
  });
}

function slowTokenizer(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'slow-tokenizer',
    about:
      "The node's tokenizer held up to a slow one's pace: what it costs to tokenize the history again in each turn.",
    nodes: 1,
    turns: stayingTurns(choices),
    maxTokens: Math.min(choices.maxTokens, SHORT_REPLY_TOKENS),
    plays: SLOW_TOKENIZERS.flatMap((tokenizerIdsPerS) =>
      (['tokenized', 'raw'] as const).map((mode) => ({
        variant: mode,
        mode,
        setting: `tokenizer-${tokenizerIdsPerS}-per-s`,
        tokenizerIdsPerS,
        llmService: 'embedded' as const,
      })),
    ),
  });
}

function longContext(choices: ExperimentChoices, model: ExperimentModel): Part {
  return part(choices, model, {
    part: 'long-context',
    about: 'A long document in the first message: what the later turns cost.',
    nodes: 1,
    turns: longTurns(choices, model),
    maxTokens: Math.min(choices.maxTokens, SHORT_REPLY_TOKENS),
    site: { contextTokens: LONG_CONTEXT_TOKENS },
    plays: (['tokenized', 'raw', 'client-side'] as const).map((mode) => ({ variant: mode, mode })),
  });
}

function slowUplink(choices: ExperimentChoices, model: ExperimentModel): Part {
  const links = choices.quick ? [EDGE_UPLINK] : [EDGE_UPLINK, POOR_UPLINK];
  return part(choices, model, {
    part: 'slow-uplink',
    about: 'The long document, and a client behind a slow link.',
    nodes: 1,
    turns: longTurns(choices, model),
    maxTokens: Math.min(choices.maxTokens, SHORT_REPLY_TOKENS),
    site: { contextTokens: LONG_CONTEXT_TOKENS },
    plays: links.flatMap((link) =>
      (['tokenized', 'client-side'] as const).map((mode) => ({
        variant: mode,
        mode,
        setting: linkName(link),
        clientLink: link,
      })),
    ),
  });
}

interface PlayDraft {
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

interface PartDraft {
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

function nineTurns({ quick }: ExperimentChoices): readonly WrittenTurn[] {
  return quick ? NINE_WRITTEN_TURNS.slice(0, QUICK_TURNS) : NINE_WRITTEN_TURNS;
}

function roamingTurns(choices: ExperimentChoices): ScenarioTurn[] {
  return nineTurns(choices).map(({ message }, index) => ({ message, node: (STAYS[index] as number) % choices.nodes }));
}

function stayingTurns(choices: ExperimentChoices): ScenarioTurn[] {
  return nineTurns(choices).map(({ message }) => ({ message, node: 0 }));
}

/** A document, then questions; half of what the model can take at the most. */
function longTurns(choices: ExperimentChoices, model: ExperimentModel): ScenarioTurn[] {
  const chars = Math.min(choices.quick ? 800 : LONG_MESSAGE_CHARS, model.contextTokens);
  const text = NINE_WRITTEN_TURNS.map(({ reply }) => reply).join('\n\n');
  const document = text.repeat(Math.ceil(chars / text.length)).slice(0, chars);
  const questions = nineTurns(choices).slice(1, LONG_TURNS);
  const first = `Read this, then answer my questions.\n\n${document}`;
  return [first, ...questions.map(({ message }) => message)].map((message) => ({ message, node: 0 }));
}
