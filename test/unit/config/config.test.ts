/**
 * Tries to start a node with settings that nobody meant: mistyped names and values in each of the three places, values
 * that cannot go together, and secrets that find their way into a message.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type ConfigSources, loadConfig } from '../../../src/config/config.ts';
import { originOf, parseListenAddress } from '../../../src/config/listen-address.ts';
import { nodeIdFromHostName } from '../../../src/config/node-id.ts';
import { formatSize, parseSize } from '../../../src/config/settings/setting-values.ts';
import { SETTINGS, type Setting } from '../../../src/config/settings/settings.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { parseNodeId } from '../../../src/domain/identifiers.ts';

const folder = mkdtempSync(join(tmpdir(), 'discedge-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileWith(text: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

const load = (sources: ConfigSources = {}) => loadConfig({ env: {}, ...sources });

/** Each line is a list that names the one before it ten times. */
function aliasesOfAliases(lines: number): string {
  const line = (_: unknown, place: number) =>
    `l${place}: &l${place} [${Array(10)
      .fill(`*l${place - 1}`)
      .join()}]\n`;
  return `l0: &l0 [x]\n${Array.from({ length: lines }, (_, place) => line(_, place + 1)).join('')}`;
}

/** The problems for which the configuration is refused, one a line. */
function problems(sources: ConfigSources): string[] {
  try {
    load(sources);
  } catch (error) {
    expect(error).toBeInstanceOf(DiscedgeError);
    expect((error as DiscedgeError).code).toBe('config_invalid');
    return (error as DiscedgeError).message.split('\n');
  }
  return [];
}

describe('defaults', () => {
  it('are enough to start with', () => {
    expect(load()).toMatchObject({
      listen: { host: '127.0.0.1', port: 8081 },
      dataDir: resolve('.discedge'),
      store: { name: 'leveldb', shares: false },
      models: [{ source: { kind: 'embedded', model: 'demo' }, name: undefined, mode: 'tokenized' }],
      maxWaitMs: 1000,
      ttlSeconds: 86_400,
    });
    expect(load().threads).toBeGreaterThanOrEqual(1);
  });

  it.each(SETTINGS.filter(({ defaultValue }) => defaultValue !== undefined))(
    '$key: its default may be given',
    (setting) => {
      expect(problems({ flags: { [setting.name]: String(setting.defaultValue) } })).toEqual([]);
    },
  );

  it.each([
    ['raspberrypi', 'raspberrypi'],
    ['edge-1.example.org', 'edge-1-example-org'],
    ['--odd', 'odd'],
    ['münchen', 'm-nchen'],
    ['', 'node'],
    ['x'.repeat(50), 'x'.repeat(32)],
  ])('the host name "%s" gives the node id "%s"', (host, id) => {
    expect(nodeIdFromHostName(host)).toBe(id);
  });

  it('every host name gives a valid node id', () => {
    fc.assert(fc.property(fc.string(), (host) => parseNodeId(nodeIdFromHostName(host)) !== undefined));
  });
});

describe('places', () => {
  it('a flag wins over the environment, that over the file, that over the default', () => {
    const file = fileWith('parallel: 2\nmax-wait-ms: 20\nnode-id: from-file');
    const env = { DISCEDGE_MAX_WAIT_MS: '30', DISCEDGE_NODE_ID: 'from-env' };
    const config = load({ file, env, flags: { nodeId: 'from-flag' } });
    expect(config).toMatchObject({ models: [{ parallel: 2 }], maxWaitMs: 30, nodeId: 'from-flag', ttlSeconds: 86_400 });
  });

  it('DISCEDGE_CONFIG names the file, unless a flag names another', () => {
    const env = { DISCEDGE_CONFIG: fileWith('parallel: 2') };
    expect(load({ env }).models[0]?.parallel).toBe(2);
    expect(load({ env, file: fileWith('parallel: 3') }).models[0]?.parallel).toBe(3);
  });

  it('an empty variable counts as not set, a variable of another program does not matter', () => {
    expect(
      problems({ env: { DISCEDGE_STORE: '', DISCEDGE_CONFIG: '', DISCEDGE_PORT_8081_TCP: 'tcp://10.0.0.1' } }),
    ).toEqual([]);
  });

  it.each(SETTINGS.filter(({ secret, name }) => secret !== true && name !== 'llm'))(
    '$key means the same as flag, variable and line of a file',
    (setting) => {
      const value = sample(setting);
      // Rules want others with some of the settings.
      const tokens = { jwtIssuer: 'https://other.example', jwtAudience: 'others', jwtKeys: 'other.json' };
      const certificate = { tlsCertFile: 'other.crt', tlsKeyFile: 'other.key' };
      const together = setting.name.startsWith('jwt') ? tokens : setting.name in certificate ? certificate : {};
      const flags = {
        ...(['writeConcern', 'peers'].includes(setting.name) && { store: 'nats' }),
        ...(setting.name === 'encryptionOff' && { encryptionKeyCommand: 'print-keys' }),
        ...(setting.name === 'tls' && { certsDir: 'certs' }),
        ...(setting.name === 'tlsClientCaFile' && certificate),
        ...Object.fromEntries(Object.entries(together).filter(([name]) => name !== setting.name)),
      };
      const byFlag = load({ flags: { ...flags, [setting.name]: value } });
      expect(load({ flags, env: { [setting.environmentName]: value } })).toEqual(byFlag);
      expect(load({ flags, file: fileWith(`${setting.key}: ${value}`) })).toEqual(byFlag);
      expect(byFlag).not.toEqual(load({ flags: { ...together, ...flags } }));
    },
  );
});

describe('refusals', () => {
  it('names everything that is wrong, with its place, at once', () => {
    const file = fileWith('parallel: 0\ndata_dir: x\nmax-wait: 3\ncolour: blue\nmode:\n');
    const env = { DISCEDGE_LISTEN: '8081', DISCEDGE_DATADIR: 'x' };
    expect(problems({ file, env, flags: { mode: 'tokenised', storeBytesMax: '4 GB of it' } })).toEqual([
      'unknown environment variable DISCEDGE_DATADIR: did you mean DISCEDGE_DATA_DIR?',
      `${file}: unknown setting "data_dir": did you mean "data-dir"?`,
      `${file}: unknown setting "max-wait": did you mean "max-wait-ms"?`,
      `${file}: unknown setting "colour"`,
      `${file}: mode has no value; leave the line out for the default`,
      `parallel (in ${file}) must be a whole number of turns from 1 to 64, not 0`,
      '--mode must be one of raw, tokenized, client-side, not "tokenised"',
      '--store-bytes-max must be a size such as "512MB" or "4GiB", from 16 MiB to 1 TiB, not "4 GB of it"',
      'DISCEDGE_LISTEN must be HOST:PORT, such as 127.0.0.1:8081 or [::1]:8081, not "8081"',
    ]);
  });

  it.each(SETTINGS.filter(({ minimum }) => minimum !== undefined))(
    '$key takes its bounds and nothing beyond',
    (setting) => {
      const { minimum, maximum } = setting as Setting & { minimum: number; maximum: number };
      // The partner of a cross-field rule must not be what refuses.
      const wide = { maxWaitMsLimit: '600000', ttlSecondsMax: '315360000', replyTokensMax: '1048576' };
      const low = {
        maxWaitMs: '0',
        replicatedWaitMs: '0',
        ttlSeconds: '1',
        replyTokensDefault: '1',
        prefillChunkTokens: '16',
      };
      const given = (value: unknown) => problems({ flags: { ...low, ...wide, [setting.name]: String(value) } });
      for (const wrong of [minimum - 1, maximum + 1, minimum + 0.5, 'x', '', '1e3', 'NaN', '0x20']) {
        expect(given(wrong), String(wrong)).toHaveLength(1);
        expect(given(wrong)[0]).toContain(setting.flag);
      }
      for (const right of [minimum, maximum]) {
        if (setting.name in wide && right === minimum) continue;
        expect(given(right), String(right)).toEqual([]);
      }
    },
  );

  it.each([
    [{ maxWaitMs: '50000' }, '--max-wait-ms (50000) must not exceed the default max-wait-ms-limit (30000)'],
    [
      { replicatedWaitMs: '50000' },
      '--replicated-wait-ms (50000) must not exceed the default max-wait-ms-limit (30000)',
    ],
    [
      { writeConcern: 'replicated' },
      '--write-concern (replicated) needs store nats or fred: leveldb shares its sessions with no other node',
    ],
    [
      { turnGate: 'fixed', turnGateRetriesMax: '200' },
      '--turn-gate-retries-max (200) times turn-gate-backoff-ms (10) must not exceed max-wait-ms (1000), beyond which no turn waits',
    ],
    [{ ttlSeconds: '90', ttlSecondsMax: '60' }, '--ttl-seconds (90) must not exceed --ttl-seconds-max (60)'],
    [{ replyTokensMax: '100' }, 'the default reply-tokens-default (512) must not exceed --reply-tokens-max (100)'],
    [{ contextTokens: '128' }, 'the default prefill-chunk-tokens (256) must not exceed --context-tokens (128)'],
    [
      { llm: 'scripted', model: 'x' },
      '--model excludes --llm: a node with both kinds has them under models in its configuration file',
    ],
    [{ gpu: 'constructor' }, '--gpu must be true or false'],
    [
      { storeBytesMax: '1constructor' },
      '--store-bytes-max must be a size such as "512MB" or "4GiB", from 16 MiB to 1 TiB, not "1constructor"',
    ],
    [{ llm: 'localhost:8080' }, '--llm must be http://HOST:PORT of a llama-server or a vLLM, or scripted'],
    [{ llm: 'http://me:secret@host:1' }, "--llm must not carry a password: give the server's key as llm-api-key"],
    [
      { nodeId: 'a b' },
      '--node-id: node id must be 1 to 32 letters, digits, "-" or "_", starting with a letter or digit',
    ],
  ])('%j', (flags, problem) => {
    expect(problems({ flags })).toEqual([problem]);
  });

  it.each([
    ['a list', '- listen', /must be a list of settings/],
    ['a text', 'hello', /must be a list of settings/],
    ['not YAML', 'a: [', /not YAML/],
    ['a key that reads as an alias', 'llm-api-key: *hunter2', /not YAML: an alias \(\*NAME\) is of nothing/],
    ['aliases that would fill the memory', aliasesOfAliases(6), /not YAML: an alias .* or of too much/],
    ['a setting twice', 'parallel: 1\nparallel: 2', /not YAML: Map keys must be unique/],
    ['a nested value', 'listen:\n  host: x', /listen \(in .*\) must be text, not a list or mapping/],
  ])('a file with %s', (_, text, expected) => {
    const found = problems({ file: fileWith(text) });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
  });

  it('a file that is not there', () => {
    expect(problems({ file: join(folder, 'none.yaml') })[0]).toMatch(/none\.yaml cannot be read: ENOENT/);
    expect(problems({ file: folder })[0]).toMatch(/cannot be read/);
  });

  it('an empty file is fine', () => {
    expect(problems({ file: fileWith('') })).toEqual([]);
    expect(problems({ file: fileWith('# nothing\n') })).toEqual([]);
  });
});

it('warnings of the YAML reader quote nothing of the file either', async () => {
  const warned: Error[] = [];
  const hear = (warning: Error) => warned.push(warning);
  process.on('warning', hear);
  expect(problems({ file: fileWith('? {secret: hunter2}\n: 1\n') })).not.toEqual([]);
  await new Promise(setImmediate);
  process.off('warning', hear);
  expect(warned).toEqual([]);
});

describe('the API key', () => {
  it('comes from a file that the flag names, from the environment or from the configuration file', () => {
    const llm = 'http://127.0.0.1:8080';
    const key = (sources: ConfigSources) => load(sources).models[0]?.source;
    const source = { kind: 'inference-server', url: llm, apiKey: 'hunter2', program: 'auto' };
    expect(key({ flags: { llm, llmApiKey: fileWith('hunter2\n') } })).toEqual(source);
    expect(key({ flags: { llm }, env: { DISCEDGE_LLM_API_KEY: 'hunter2' } })).toEqual(source);
    expect(key({ flags: { llm }, file: fileWith('llm-api-key: hunter2') })).toEqual(source);
  });

  it('is never repeated', () => {
    const found = [
      ...problems({ file: fileWith('llm-api-key: [hunter2]') }),
      ...problems({ file: fileWith('llm-api-key: "hunter2') }),
      ...problems({ file: fileWith('llm-api-key: hunter2\n  - hunter2: [') }),
      ...problems({ flags: { llmApiKey: fileWith(' \n') } }),
      ...problems({ flags: { llmApiKey: join(folder, 'missing') } }),
    ];
    expect(found.length).toBeGreaterThanOrEqual(5);
    expect(found.join('\n')).not.toContain('hunter2');
    expect(problems({ file: fileWith('llm-api-key: true') })).toEqual([expect.stringMatching(/must be text$/)]);
  });
});

describe('addresses and sizes', () => {
  it.each([
    ['127.0.0.1:8081', { host: '127.0.0.1', port: 8081 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
    ['8081', undefined],
    [':8081', undefined],
    ['host:65536', undefined],
    ['::1:8081', undefined],
    ['http://host:80', undefined],
    ['host:', undefined],
  ])('%s', (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });

  it('tell under which URL they are reached', () => {
    expect([originOf({ host: '::1', port: 1 }), originOf({ host: 'a', port: 2 })]).toEqual([
      'http://[::1]:1',
      'http://a:2',
    ]);
  });

  it.each([
    ['512MB', 512e6],
    ['4GiB', 4 * 2 ** 30],
    ['1.5 kib', 1536],
    ['1048576', 1_048_576],
    ['10 potatoes', undefined],
    ['1024.5', undefined],
    ['-1MB', undefined],
    ['MB', undefined],
  ])('%s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it('a formatted size reads back as itself', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatSize(bytes).replace('bytes', 'B')) === bytes));
  });
});

const TEXT_SAMPLES: Readonly<Record<string, string>> = {
  listen: '127.0.0.1:1',
  store: 'memory',
  advertise: 'http://edge.example:80',
  'embeddings-url': 'http://127.0.0.1:8090',
  peers: 'e2=127.0.0.1:1',
  'cors-origins': 'https://app.example',
};

/** A value of the setting's that is not its default. */
function sample(setting: Setting): string {
  switch (setting.kind) {
    case 'integer':
    case 'size':
      return String(typeof setting.defaultValue === 'number' ? setting.defaultValue + 1 : (setting.maximum ?? 0) - 1);
    case 'switch':
      return String(setting.defaultValue !== true);
    case 'choice':
      return setting.choices?.find((value) => value !== setting.defaultValue) ?? '';
    case 'path':
      return `/tmp/${setting.key}`;
    case 'list':
    case 'text':
    case 'texts':
      return TEXT_SAMPLES[setting.key] ?? `a-${setting.key}`;
  }
}
