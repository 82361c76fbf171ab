/**
 * Tries to get a scenario accepted that does not mean what it says, and to get a mistake reported without its line and
 * without what was probably meant: the prototype's two forms, ours, and every kind of slip in either.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { parseScenario, readScenario } from '../../src/scenario/scenario-file.ts';

const scenario = (text: string): Scenario => parseScenario(text, 'file.yaml');

/** The lines of the error that a text is refused with. */
function problems(text: string): string[] {
  try {
    scenario(text);
  } catch (error) {
    expect(error).toBeInstanceOf(DiscedgeError);
    expect((error as DiscedgeError).code).toBe('scenario_invalid');
    return (error as DiscedgeError).message.split('\n');
  }
  throw new Error('the scenario was accepted');
}

const stops = ({ nodes, turns }: Scenario) => turns.map(({ node }) => (node === undefined ? '-' : nodes[node]?.name));

describe("the prototype's files", () => {
  it('with messages are played by one user at one node, with the values of the paper', () => {
    const text = 'name: Robots\nmodel_name: qwen\nuser_id: u1\nmessages:\n  - one\n  - two\n';
    expect(scenario(text)).toEqual({
      name: 'Robots',
      modelName: 'qwen',
      userId: 'u1',
      system: undefined,
      nodes: [{ name: 'edge-1', url: undefined }],
      route: 'stay',
      turns: [
        { message: 'one', node: undefined },
        { message: 'two', node: undefined },
      ],
      thinkMs: [0, 0],
      users: 1,
      repeats: 1,
      numbered: false,
      seed: 123,
      temperature: 0,
      maxTokens: 128,
      consistency: undefined,
      maxWaitMs: undefined,
      clientRetries: 4,
      stream: true,
    });
  });

  it('with locations go to the node behind each api_url, which may name the route too', () => {
    const at = (name: string, url: string, message: string) =>
      `  - name: ${name}\n    api_url: ${url}\n    messages: [${message}]\n`;
    const roaming = scenario(
      `name: r\nlocations:\n${at('west', 'http://h:1/completion', 'a')}${at('east', 'http://h:2', 'b')}${at('west again', 'http://h:1/', 'c')}`,
    );
    expect(roaming.nodes).toEqual([
      { name: 'west', url: 'http://h:1' },
      { name: 'east', url: 'http://h:2' },
    ]);
    expect(stops(roaming)).toEqual(['west', 'east', 'west']);
    expect(roaming.turns.map(({ message }) => message)).toEqual(['a', 'b', 'c']);
  });

  it('may have numbers and truth values where text is meant', () => {
    const { userId, turns } = scenario('name: 7\nuser_id: 42\nmessages: [yes, true, 3]');
    expect(userId).toBe('42');
    expect(turns.map(({ message }) => message)).toEqual(['yes', 'true', '3']);
    const written = scenario('user_id: 007\nmessages: [3.10, 0x1F, True]');
    expect([written.userId, ...written.turns.map(({ message }) => message)]).toEqual(['007', '3.10', '0x1F', 'True']);
  });

  it('keep braces in their messages', () => {
    expect(scenario('messages: ["print {user}"]').numbered).toBe(false);
    expect(scenario('users: 2\nmessages: ["I am {user}"]').numbered).toBe(true);
  });
});

describe('our keys', () => {
  it('a route begins anew when it is shorter than the messages', () => {
    expect(stops(scenario('nodes: [a, b]\nroute: [a, b, b]\nmessages: [1, 2, 3, 4]'))).toEqual(['a', 'b', 'b', 'a']);
  });

  it('nodes may say where they run', () => {
    const { nodes, route } = scenario(
      'nodes: [{name: a, api_url: "http://h:1"}, {name: b, api_url: "http://h:2"}]\nroute: random\nmessages: [1]',
    );
    expect(nodes.map(({ url }) => url)).toEqual(['http://h:1', 'http://h:2']);
    expect(route).toBe('random');
  });

  it('all of them are taken over', () => {
    const text = [
      ...['name: n', 'system: be kind', 'think_ms: [5, 9]', 'users: 3', 'repeats: 2', 'seed: 7', 'temperature: 0.5'],
      ...['max_tokens: 9', 'consistency: available', 'max_wait_ms: 30', 'client_retries: 0', 'stream: false'],
      ...['description: what it shows', 'messages: [hello]'],
    ].join('\n');
    expect(scenario(text)).toMatchObject({
      ...{ system: 'be kind', thinkMs: [5, 9], users: 3, repeats: 2, seed: 7, temperature: 0.5, maxTokens: 9 },
      ...{ consistency: 'available', maxWaitMs: 30, clientRetries: 0, stream: false },
    });
    expect(scenario('think_ms: 250\nmessages: [hello]').thinkMs).toEqual([250, 250]);
  });

  it('a scenario without a name is called as its file', () => {
    expect(parseScenario('messages: [hello]', '/some/where/small-talk.yaml').name).toBe('small-talk');
  });
});

describe('mistakes are named with their line', () => {
  it.each<[string, string, string[]]>([
    [
      'an empty file',
      '',
      ['file.yaml: is empty: a scenario needs a name and messages; scenarios/README.md describes it'],
    ],
    [
      'only comments',
      '# nothing\n',
      ['file.yaml: is empty: a scenario needs a name and messages; scenarios/README.md describes it'],
    ],
    ['a list', '- a\n- b\n', ['file.yaml: a scenario must be a list of keys, one "name: value" a line']],
    ['no messages', 'name: x\n', ['file.yaml: has no messages (or locations with messages)']],
    ['an unknown key', 'name: x\nmesages: [a]\n', ['file.yaml:2: unknown key "mesages": did you mean "messages"?']],
    [
      'a key of the SDK',
      'maxTokens: 3\nmessages: [a]',
      ['file.yaml:1: unknown key "maxTokens": did you mean "max_tokens"?'],
    ],
    ['a key like nothing', 'colour: red\nmessages: [a]', ['file.yaml:1: unknown key "colour"']],
    ['a key of every object', 'constructor: red\nmessages: [a]', ['file.yaml:1: unknown key "constructor"']],
    ['no value', 'seed:\nmessages: [a]', ['file.yaml:1: seed has no value; leave the line out for the default']],
    ['no messages in the list', 'messages: []', ['file.yaml:1: messages must be a list of messages']],
    [
      'a message that YAML reads as a mapping',
      'messages:\n  - first\n  - What is SLAM: a method?\n',
      ['file.yaml:3: messages: entry 2 must be text, in quotes where YAML would read something else'],
    ],
    [
      'an empty message',
      'messages: [a, ""]',
      ['file.yaml:1: messages: entry 2 must be text, in quotes where YAML would read something else'],
    ],
    [
      'a fraction of a user',
      'users: 1.5\nmessages: [a]',
      ['file.yaml:1: users must be a whole number of users from 1 to 1024'],
    ],
    [
      'too many repeats',
      'repeats: 5000\nmessages: [a]',
      ['file.yaml:1: repeats must be a whole number of repeats from 1 to 1000'],
    ],
    [
      'think time the wrong way round',
      'think_ms: [9, 5]\nmessages: [a]',
      ['file.yaml:1: think_ms must have the smaller number first'],
    ],
    [
      'think time of three numbers',
      'think_ms: [1, 2, 3]\nmessages: [a]',
      ['file.yaml:1: think_ms must be milliseconds from 0 to 3600000, or [least, most]'],
    ],
    [
      'an unknown consistency',
      'consistency: eventual\nmessages: [a]',
      ['file.yaml:1: consistency must be one of strong, available'],
    ],
    [
      'a route to nowhere',
      'nodes: [edge-1, edge-2]\nroute:\n  - edge-1\n  - edg-2\nmessages: [a]',
      ['file.yaml:4: route: no node is called "edg-2": did you mean "edge-2"?'],
    ],
    ['a route without nodes', 'route: random\nmessages: [a]', ['file.yaml:1: route needs nodes to choose from']],
    ['a node twice', 'nodes: [a, a]\nmessages: [m]', ['file.yaml:1: nodes has a twice']],
    [
      'messages beside locations',
      'messages: [a]\nlocations: [{name: x, messages: [b]}]',
      ['file.yaml:1: messages and locations exclude each other'],
    ],
    [
      'a route beside locations',
      'route: random\nlocations: [{name: x, messages: [b]}]',
      ['file.yaml:1: locations are the route already: leave route out'],
    ],
    [
      'a slip in a location',
      'locations:\n  - name: x\n    api_ulr: http://h:1\n    messages: [b]\n',
      ['file.yaml:3: unknown key "api_ulr": did you mean "api_url"?'],
    ],
    ['a location without messages', 'locations:\n  - name: x\n', ['file.yaml:2: a location needs messages']],
    [
      'a location that is nowhere',
      'locations:\n  - messages: [b]\n',
      ['file.yaml:2: a location needs a name or an api_url'],
    ],
    [
      'a URL for some locations',
      'locations:\n  - {name: a, api_url: "http://h:1", messages: [b]}\n  - {name: b, messages: [b]}\n',
      ['file.yaml:2: give every location its api_url, or none'],
    ],
    [
      'a malformed URL',
      'locations:\n  - {name: a, api_url: "h:1", messages: [b]}\n',
      ['file.yaml:2: api_url must look like http://HOST:PORT, not "h:1"'],
    ],
  ])('%s', (_, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });

  it('all of a file at once', () => {
    expect(problems('sed: 1\nusers: many\nmessages: [a]')).toEqual([
      'file.yaml:1: unknown key "sed": did you mean "seed"?',
      'file.yaml:2: users must be a whole number of users from 1 to 1024',
    ]);
  });

  it('what is no YAML, with the place', () => {
    expect(problems('name: "x\nmessages: [a]').join()).toMatch(/file\.yaml: not YAML: .* at line \d/);
    expect(problems('messages:\n  - *important*').join()).toMatch(/not YAML: .*important.*needs quotes/);
    expect(problems('seed: 1\nseed: 2\nmessages: [a]').join()).toMatch(/not YAML: Map keys must be unique at line 2/);
  });

  it('a file that is not there', async () => {
    await expect(readScenario('/nowhere/x.yaml')).rejects.toThrow('/nowhere/x.yaml cannot be read: no such file');
  });

  it('a file that is far too large', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'discedge-test-'));
    try {
      const path = join(folder, 'large.yaml');
      writeFileSync(path, Buffer.alloc(17 * 1024 * 1024, '#'));
      await expect(readScenario(path)).rejects.toMatchObject({ code: 'scenario_invalid' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the scenarios that come along', () => {
  const folder = fileURLToPath(new URL('../../../scenarios', import.meta.url));
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

  it.each(files)('%s can be read, and is named as its file', async (file) => {
    expect((await readScenario(join(folder, file))).name).toBe(file.replace('.yaml', ''));
  });

  it("the roaming run has the nine turns of the one that stays, at the paper's nodes", async () => {
    const [still, roaming] = await Promise.all(
      ['robot.yaml', 'robot-roaming.yaml'].map((file) => readScenario(join(folder, file))),
    );
    expect(roaming?.turns.map(({ message }) => message)).toEqual(still?.turns.map(({ message }) => message));
    expect(
      stops(roaming as Scenario)
        .map((name) => name?.at(-1))
        .join(''),
    ).toBe('112211222');
  });
});
