import type { ExperimentModel } from '../experiment-model.ts';
import { type ExperimentChoices, networksOf, type Part, type PlaySpec, type ReplicationScript } from '../plays/play.ts';
import { nodeNames, type SiteSpec } from '../site/site.ts';
import { part } from './conversation-part.ts';
import { writtenTurns } from './written-turns.ts';

/** Fifty turns of 128 ids with their messages, and some. */
const TOKENS_A_TURN_BESIDE_REPLY = 48;
const REPLICATION_FORMS = ['delta', 'whole-context', 'whole-context-json'] as const;

/** What a turn costs as a conversation grows: to answer it, and to share it. */
export function growthParts(choices: ExperimentChoices, model: ExperimentModel): Part[] {
  return [replication(choices), conversation(choices, model)];
}

function contextTokens({ turns, maxTokens }: ExperimentChoices, model: ExperimentModel): number {
  return Math.min(turns * (maxTokens + TOKENS_A_TURN_BESIDE_REPLY), model.contextTokens);
}

function conversation(choices: ExperimentChoices, model: ExperimentModel): Part {
  const turns = writtenTurns(turnsThatFit(choices, model)).map(({ message }) => ({ message, node: 0 }));
  return part(choices, model, {
    part: 'conversation',
    about: 'One long conversation at one node, its records shared with another: each turn as its client saw it.',
    nodes: choices.nodes,
    turns,
    maxTokens: choices.maxTokens,
    site: { contextTokens: contextTokens(choices, model) },
    plays: [
      { variant: 'tokenized', mode: 'tokenized', countsSync: true },
      { variant: 'raw', mode: 'raw', countsSync: true },
      { variant: 'client-side', mode: 'client-side' },
    ],
  });
}

/** A small model's context may end before the conversation. */
function turnsThatFit(choices: ExperimentChoices, model: ExperimentModel): number {
  const { turns, maxTokens } = choices;
  return Math.max(2, Math.min(turns, Math.floor(model.contextTokens / (maxTokens + TOKENS_A_TURN_BESIDE_REPLY)) - 1));
}

function replication(choices: ExperimentChoices): Part {
  const { turns, network, maxTokens } = choices;
  const site: SiteSpec = {
    nodes: 2,
    replicating: true,
    llmService: 'transcript',
    bare: false,
    slots: 1,
    contextTokens: turns * (maxTokens + TOKENS_A_TURN_BESIDE_REPLY),
    keepsEvicted: true,
    flags: { replyTokensDefault: maxTokens },
    network,
    written: writtenTurns(turns),
  };
  const plays = REPLICATION_FORMS.map((form): PlaySpec => {
    const script: ReplicationScript = { kind: 'replication', form, turns };
    return { part: 'replication', variant: form, setting: 'ours', replySource: 'transcript', site, script };
  });
  return {
    part: 'replication',
    about:
      'The records of one long conversation, from one replica to another: what each turn added, against the whole ' +
      "context again with every turn, in our encoding and as the prototype's JSON.",
    variants: REPLICATION_FORMS,
    settings: ['ours'],
    nodes: nodeNames(2).length,
    turns,
    max_tokens: maxTokens,
    networks: networksOf(plays),
    plays,
  };
}
