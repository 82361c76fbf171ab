import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { ExperimentModel } from '../experiment-model.ts';
import { type ExperimentChoices, networksOf, type Part, type PlaySpec, scenarioOf } from '../plays/play.ts';
import { nodeNames } from '../site/site.ts';
import { NINE_WRITTEN_TURNS } from './written-turns.ts';

const TURNS_A_USER = 3;
/** Of a level; few users come again with new sessions until there are as many, or medians would be of chance. */
const TURNS_MIN = 24;
/** Three turns of at most 128 ids with their messages. */
const CONTEXT_TOKENS = 1_024;

/** More and more users at once, up to where more users get no more turns answered. */
export function loadParts(choices: ExperimentChoices, model: ExperimentModel): Part[] {
  const { llmServices, users, slots, maxTokens, network, seed } = choices;
  const turns = NINE_WRITTEN_TURNS.slice(0, TURNS_A_USER).map(({ message }, index) => ({
    // No two sessions have equal prompts: a cache that they shared would answer for all of them.
    message: index === 0 ? `I am user {user} of group {repeat}. ${message}` : message,
    node: 0,
  }));
  const nodes = nodeNames(1);
  const plays = users.flatMap((count) =>
    llmServices.flatMap((llmService) =>
      variantsOf(llmService).map(({ variant, mode }): PlaySpec => {
        const scenario = scenarioOf('parallel-users', { turns, nodes, users: count, maxTokens, seed });
        const groups = choices.quick ? 1 : Math.ceil(TURNS_MIN / (TURNS_A_USER * count));
        return {
          part: 'parallel-users',
          variant,
          setting: `users-${count}`,
          replySource: model.replySource,
          site: {
            nodes: 1,
            replicating: false,
            llmService,
            bare: variant === 'llama-server',
            slots,
            contextTokens: Math.min(CONTEXT_TOKENS, model.contextTokens),
            keepsEvicted: true,
            flags: {},
            network,
            written: [],
          },
          script: { kind: 'load', scenario: { ...scenario, numbered: true, repeats: groups }, mode },
        };
      }),
    ),
  );
  return [
    {
      part: 'parallel-users',
      about: 'Users at once, each with a session: context on the edge node, against history kept by the client.',
      variants: [...new Set(plays.map(({ variant }) => variant))],
      settings: users.map((count) => `users-${count}`),
      nodes: 1,
      turns: TURNS_A_USER,
      max_tokens: maxTokens,
      networks: networksOf(plays),
      plays,
    },
  ];
}

/** The bare server is there only where there is a server. */
function variantsOf(llmService: string): { variant: string; mode: ContextMode }[] {
  return [
    { variant: 'tokenized', mode: 'tokenized' },
    ...(llmService === 'llama-server'
      ? [{ variant: 'llama-server', mode: 'client-side' as const }]
      : [{ variant: 'client-side', mode: 'client-side' as const }]),
  ];
}
