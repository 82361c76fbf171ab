/**
 * What an experiment is going to play: looks for comparisons that would not be fair (other settings, other turns, other
 * order for one variant), for the paper's turns and settings, and for levels of users that are played for nothing.
 */
import { describe, expect, it } from 'vitest';
import type { ExperimentModel } from '../../src/experiments/experiment-model.ts';
import { experimentNotes } from '../../src/experiments/experiment-notes.ts';
import { partsOf } from '../../src/experiments/parts/experiment-parts.ts';
import { LOOPBACK, NAMESPACES } from '../../src/experiments/parts/links.ts';
import { estimatedMs } from '../../src/experiments/plays/estimate.ts';
import type { ConversationScript, ExperimentChoices, PlaySpec } from '../../src/experiments/plays/play.ts';
import { playOrder, Saturation } from '../../src/experiments/plays/play-order.ts';

const MODEL: ExperimentModel = {
  path: '/models/some-Q8_0.gguf',
  name: 'some',
  file: 'some-Q8_0.gguf',
  bytes: 600_000_000,
  quantization: 'Q8_0',
  replySource: 'random-weights',
  contextTokens: 32_768,
};
const CHOICES: ExperimentChoices = {
  quick: false,
  repeats: 3,
  seed: 123,
  llmServices: ['embedded', 'llama-server'],
  nodes: 2,
  turns: 50,
  maxTokens: 128,
  users: [1, 2, 4, 8, 16, 32, 64],
  slots: 4,
  parts: undefined,
  network: NAMESPACES,
};

const conversation = ({ script }: PlaySpec) => script as ConversationScript;
const part = (name: string, choices = CHOICES) =>
  partsOf('paper', choices, MODEL).find((candidate) => candidate.part === name);

describe('the paper', () => {
  it('roams as its roaming run did: turns 1-2 here, 3-4 there, 5-6 here, 7-9 there', () => {
    for (const play of part('roaming')?.plays ?? []) {
      const { turns } = conversation(play).scenario;
      expect(turns.map(({ node }) => node)).toEqual([0, 0, 1, 1, 0, 0, 1, 1, 1]);
      expect(turns[6]?.message).toBe("Now, let's talk about localization. What is SLAM?");
    }
  });

  it('roams over as many nodes as there are', () => {
    const [play] = part('roaming', { ...CHOICES, nodes: 3 })?.plays ?? [];
    expect(conversation(play as PlaySpec).scenario.turns.map(({ node }) => node)).toEqual([0, 0, 1, 1, 2, 2, 0, 0, 0]);
  });

  it("has OpenAI's own client roam alike, by response ids and with its history", () => {
    const plays = part('openai')?.plays ?? [];
    expect(plays.map((play) => [play.variant, conversation(play).api, play.site.llmService])).toEqual([
      ['responses', 'responses', 'transcript'],
      ['tokenized', undefined, 'transcript'],
      ['chat', 'chat', 'transcript'],
    ]);
    const roaming = conversation(part('roaming')?.plays[0] as PlaySpec).scenario.turns;
    for (const play of plays) expect(conversation(play).scenario.turns).toEqual(roaming);
  });

  it('plays its consistency setting and ours side by side', () => {
    const tokenized = part('roaming')?.plays.filter(({ variant }) => variant === 'tokenized') ?? [];
    const flags = (setting: string) => tokenized.find((play) => play.setting === setting)?.site.flags;
    expect(flags('paper')).toEqual({ turnGate: 'fixed', turnGateRetriesMax: 3, turnGateBackoffMs: 10 });
    expect(flags('ours')).toEqual({});
  });

  it('keeps to seed 123, temperature 0, 128 tokens a turn', () => {
    for (const name of ['edge-side', 'roaming', 'written-replies']) {
      for (const play of part(name)?.plays ?? []) {
        expect(conversation(play).scenario).toMatchObject({ seed: 123, temperature: 0, maxTokens: 128 });
      }
    }
  });

  it('leaves parts that need a slow link out where there is no network for it', () => {
    expect(part('slow-uplink')).toBeDefined();
    expect(part('slow-uplink', { ...CHOICES, network: LOOPBACK })).toBeUndefined();
    expect(part('roaming', { ...CHOICES, network: LOOPBACK })).toBeDefined();
  });

  it('says which network each setting of a part has', () => {
    const slow = part('slow-uplink')?.networks ?? {};
    expect(Object.entries(slow).map(([setting, { client_link }]) => [setting, client_link.mbit_per_s])).toEqual([
      ['10mbit-40ms', 10],
      ['1mbit-40ms', 1],
    ]);
    expect(part('cache-lost')?.networks['slot-taken']).toEqual(NAMESPACES);
  });

  it('hands over to nodes that warm and to nodes that do not, after a pause, beside the bare server', () => {
    const plays = part('handover')?.plays ?? [];
    for (const { script } of plays) expect((script as ConversationScript).scenario.thinkMs).toEqual([5_000, 5_000]);
    const told = plays.map(({ variant, site: { llmService, bare, flags } }) => [
      ...[variant, llmService, bare, flags.warming],
    ]);
    expect(told).toEqual([
      ['warmed', 'embedded', false, 'all'],
      ['cold', 'embedded', false, 'off'],
      ['client-side', 'embedded', false, undefined],
      ['warmed', 'llama-server', false, 'all'],
      ['cold', 'llama-server', false, 'off'],
      ['llama-server', 'llama-server', true, undefined],
    ]);
  });

  it('moves once with a long document, to a node that has seen nothing of it', () => {
    const [play] = part('long-handover')?.plays ?? [];
    const { turns, thinkMs, maxTokens } = conversation(play as PlaySpec).scenario;
    expect(turns.map(({ node }) => node)).toEqual([0, 0, 1, 1]);
    expect(turns[0]?.message.length).toBeGreaterThan(14_000);
    expect([thinkMs, maxTokens]).toEqual([[45_000, 45_000], 32]);
    expect(part('long-handover')?.variants).toEqual(part('handover')?.variants);
  });

  it('reckons with the time in which replies are read', () => {
    const [read] = part('handover')?.plays ?? [];
    const [unread] = part('roaming')?.plays ?? [];
    const readingMs = estimatedMs(read as PlaySpec, MODEL) - estimatedMs(unread as PlaySpec, MODEL);
    expect(readingMs).toBeCloseTo(8 * 5_000, 6);
  });

  it('plays only the parts that are asked for', () => {
    const parts = partsOf('paper', { ...CHOICES, parts: ['roaming'] }, MODEL);
    expect(parts.map((candidate) => candidate.part)).toEqual(['roaming']);
  });
});

it.each(['paper', 'growth', 'load'] as const)('in %s, what is compared has equal conditions', (experiment) => {
  const groups = new Map<string, PlaySpec[]>();
  for (const play of partsOf(experiment, CHOICES, MODEL).flatMap(({ plays }) => plays)) {
    const key = `${play.part}/${play.setting}/${play.site.llmService}`;
    groups.set(key, [...(groups.get(key) ?? []), play]);
  }
  for (const group of groups.values()) {
    const conditions = group.map(({ site, script }) => {
      // What a handover's plays differ in is what they compare.
      const { bare: _, replicating: __, flags, ...rest } = site;
      const { warming: ___, ...otherFlags } = flags;
      const equal = { ...rest, flags: otherFlags };
      const scenario = script.kind === 'replication' ? script.turns : script.scenario;
      return JSON.stringify({ equal, scenario, after: script.kind === 'conversation' ? script.afterTurn : '' });
    });
    expect(new Set(conditions).size).toBe(1);
    expect(new Set(group.map(({ variant }) => variant)).size).toBe(group.length);
  }
});

describe('what is not played', () => {
  const notes = (experiment: 'paper' | 'growth' | 'load', choices: Partial<ExperimentChoices>, model = MODEL) =>
    experimentNotes(experiment, { ...CHOICES, ...choices }, model).map(({ part: name, text }) => `${name}: ${text}`);

  it('is told with its reason', () => {
    expect(notes('paper', { network: LOOPBACK })).toContainEqual(expect.stringMatching(/^slow-uplink: .*namespaces/));
    const server = notes('paper', { llmServices: ['llama-server'] });
    expect(server).toContainEqual(expect.stringMatching(/^slow-tokenizer: .*embedded LLM Service/));
    expect(server.join()).not.toContain('slow-uplink');
    expect(notes('paper', { parts: ['roaming'], network: LOOPBACK }).join()).not.toContain('slow-uplink');
  });

  it('turns that do not fit, and a bare server that is not there, are told', () => {
    const small = { ...MODEL, contextTokens: 4_096 };
    expect(notes('growth', {}, small)).toContainEqual(
      'conversation: 22 turns in place of 50: more do not fit in the 4096 ids that the model remembers.',
    );
    expect(notes('growth', {}).join()).not.toContain('in place of');
    expect(notes('load', { llmServices: ['embedded'] })).toContainEqual(expect.stringMatching(/no bare llama-server/));
    expect(notes('load', {}).join()).not.toContain('no bare');
  });
});

it('growth has its fifty turns, and fewer where the model remembers less', () => {
  const turns = (model: ExperimentModel) =>
    partsOf('growth', CHOICES, model).find((candidate) => candidate.part === 'conversation')?.turns;
  expect(turns(MODEL)).toBe(50);
  expect(turns({ ...MODEL, contextTokens: 1_024 })).toBe(4);
});

describe('the order', () => {
  const parts = partsOf('paper', CHOICES, MODEL);
  const names = (seed: string) =>
    playOrder(parts, seed).map((play) => parts.flatMap(({ plays }) => plays).indexOf(play));

  it('is the same for the same seed and repeat, and another for another', () => {
    expect(names('1/1')).toEqual(names('1/1'));
    expect(names('1/2')).not.toEqual(names('1/1'));
    expect([...names('1/2')].sort()).toEqual([...names('1/1')].sort());
  });

  it('favours no variant: over many repeats each is first about equally often', () => {
    const edgeSide = parts.filter((candidate) => candidate.part === 'edge-side');
    const firsts = Array.from({ length: 400 }, (_, repeat) => playOrder(edgeSide, `1/${repeat}`)[0]?.variant);
    const share = firsts.filter((variant) => variant === 'raw').length / firsts.length;
    expect(share).toBeGreaterThan(0.4);
    expect(share).toBeLessThan(0.6);
  });

  it('goes up from few users to many', () => {
    const users = playOrder(partsOf('load', CHOICES, MODEL), '1/1').map(({ setting }) => Number(setting.slice(6)));
    expect(users).toEqual([...users].sort((a, b) => a - b));
  });
});

describe('saturation', () => {
  const played = (turnsPerS: (users: number, variant: string) => number) => {
    const saturation = new Saturation();
    const levels: number[] = [];
    for (const spec of playOrder(partsOf('load', CHOICES, MODEL), '1/1')) {
      const users = Number(spec.setting.slice(6));
      if (saturation.isReached(spec)) continue;
      if (!levels.includes(users)) levels.push(users);
      saturation.heard(spec, { turnsAnswered: 1, turnsFailed: 0, turnsPerS: turnsPerS(users, spec.variant) });
    }
    return { levels, level: saturation.level };
  };

  it('plays every level while each brings more', () => {
    expect(played((users) => users)).toEqual({ levels: CHOICES.users, level: undefined });
  });

  it('stops after two levels that brought nothing, and names the last that did', () => {
    expect(played((users) => Math.min(users, 4))).toEqual({ levels: [1, 2, 4, 8, 16], level: 4 });
  });

  it('goes on while one variant still gains', () => {
    const { levels } = played((users, variant) => (variant === 'tokenized' ? users : 1));
    expect(levels).toEqual(CHOICES.users);
  });
});

it('the estimate grows with the model, the turns, the users and what is lost', () => {
  const [play] = part('edge-side')?.plays ?? [];
  const one = play as PlaySpec;
  expect(estimatedMs(one, { ...MODEL, bytes: MODEL.bytes * 2 })).toBeGreaterThan(estimatedMs(one, MODEL));
  const cacheLost = part('cache-lost')?.plays ?? [];
  const ms = (setting: string) => estimatedMs(cacheLost.find((spec) => spec.setting === setting) as PlaySpec, MODEL);
  expect(ms('slot-taken')).toBeGreaterThan(ms('cache-kept'));
  expect(ms('node-restarted')).toBeGreaterThan(ms('slot-taken'));
  const load = partsOf('load', CHOICES, MODEL)[0]?.plays ?? [];
  const users = (count: number) =>
    estimatedMs(load.find(({ setting }) => setting === `users-${count}`) as PlaySpec, MODEL);
  expect(users(64)).toBeGreaterThan(users(32));
});
