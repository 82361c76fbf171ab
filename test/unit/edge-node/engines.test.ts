// Registers one more kind of engine, the smallest there is, and looks for anything in configuration, start, HTTP or doctor
// that knows only the kinds which this package has.
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import type { ModelSource } from '../../../src/config/engine-kinds.ts';
import { examine } from '../../../src/doctor/doctor.ts';
import { startEdgeNode } from '../../../src/edge-node/edge-node.ts';
import { ENGINES, type Engine, type Engines } from '../../../src/edge-node/models/engines.ts';
import { startScripted } from '../../../src/llm-service/scripted.ts';
import { NodeUnderTest } from '../../../tools/test-node.ts';

interface ParrotSource extends ModelSource {
  readonly words: string;
}

/** What an engine's own folder would hold. */
const parrot: Engine<ParrotSource> = {
  form: 'parrot:WORDS',
  takesKey: false,
  read: (llm) => (llm.startsWith('parrot:') ? { kind: 'parrot', words: llm.slice(7) } : undefined),
  called: ({ words }) => `parrot of ${words}`,
  start: async ({ words }, { model, environment }) =>
    startScripted({ modelName: model.name ?? 'parrot', reply: () => words }, environment),
  describe: () => 'a parrot',
};

const engines: Engines = { ...ENGINES, parrot };

const FLAGS = { store: 'memory', listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'silent' };
const load = (flags: Record<string, unknown>) => loadConfig({ flags: { ...FLAGS, ...flags }, env: {}, engines });

it('an engine is added by one line: a node serves its model beside others, and says which it is', async () => {
  const config = load({ llm: ['scripted', 'polly=parrot:hello'] });
  expect(config.models[1]).toMatchObject({ name: 'polly', source: { kind: 'parrot', words: 'hello' } });
  const node = await startEdgeNode(config, { engines });
  onTestFinished(() => node.close());
  expect(node.description.models.map(({ llmName }) => llmName)).toEqual(['scripted', 'a parrot']);
  const client = new NodeUnderTest(node.address.url);
  expect(await client.turn({ model: 'polly', session_id: 's', turn: 1, prompt: 'one' })).toMatchObject({
    content: 'hello',
    model: 'polly',
  });
  expect((await examine(config, { urls: [], fetch }, 0)).filter(({ outcome }) => outcome === 'missing')).toEqual([]);
});

it('an engine that does not exist is told what there is', () => {
  expect(() => load({ llm: 'crow' })).toThrow(
    'must be http://HOST:PORT of a llama-server or a vLLM, or scripted, or parrot:WORDS',
  );
});

it('every kind that a configuration can name can be started, and is read by the same rule there', () => {
  for (const llm of ['scripted', 'http://127.0.0.1:1']) {
    const source = loadConfig({ flags: { ...FLAGS, llm }, env: {} }).models[0]?.source;
    expect(source).toBeDefined();
    expect((ENGINES as Engines)[source?.kind ?? '']?.read(llm, { program: 'auto' })).toEqual(source);
  }
});
