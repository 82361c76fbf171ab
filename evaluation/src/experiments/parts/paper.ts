import type { ExperimentModel } from '../experiment-model.ts';
import type { ExperimentChoices, Part } from '../plays/play.ts';
import { type Flags, part } from './conversation-part.ts';
import { handover, longHandover } from './handover.ts';
import { EDGE_UPLINK, linkName, POOR_UPLINK } from './links.ts';
import { LONG_CONTEXT_TOKENS, longTurns, roamingTurns, SHORT_REPLY_TOKENS, stayingTurns } from './paper-turns.ts';

/** Ids a second: about what tokenizers in interpreted languages do, and what they do on a small device's core. */
const SLOW_TOKENIZERS = [10_000, 2_000];

/** The consistency setting of the paper (§3.4): three retries, ten milliseconds apart. */
const PAPER_GATE: Flags = { turnGate: 'fixed', turnGateRetriesMax: 3, turnGateBackoffMs: 10 };

/** The paper's two experiments, and where their effects are larger or smaller than there. */
export function paperParts(choices: ExperimentChoices, model: ExperimentModel): Part[] {
  const parts = [
    edgeSide,
    roaming,
    handover,
    longHandover,
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
  const tokenizers = choices.quick ? SLOW_TOKENIZERS.slice(-1) : SLOW_TOKENIZERS;
  return part(choices, model, {
    part: 'slow-tokenizer',
    about:
      "The node's tokenizer held up to a slow one's pace: what it costs to tokenize the history again in each turn.",
    nodes: 1,
    turns: stayingTurns(choices),
    maxTokens: Math.min(choices.maxTokens, SHORT_REPLY_TOKENS),
    plays: tokenizers.flatMap((tokenizerIdsPerS) =>
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
