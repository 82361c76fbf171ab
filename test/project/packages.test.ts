// What two packages say about each other stands in both; here it is held equal.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { GRPC_PACKAGE } from '../../src/context-store/fred/wire/grpc-package.ts';
import { LLAMA_PACKAGE } from '../../src/llm-service/llama-library.ts';

const manifest = (folder: string) =>
  JSON.parse(readFileSync(new URL(`../../${folder}package.json`, import.meta.url), 'utf8'));
const node = manifest('');
const evaluation = manifest('evaluation/');

it('the evaluation has the version of the node that it is for', () => {
  expect(evaluation.version).toBe(node.version);
  expect(evaluation.peerDependencies).toEqual({ [node.name]: node.version });
});

it('packages that both use have one version, so that they are installed once', () => {
  const shared = Object.keys(evaluation.dependencies).filter((name) => name in node.dependencies);
  const versions = (from: Record<string, string>) => shared.map((name) => `${name}@${from[name]}`);
  expect(versions(evaluation.dependencies)).toEqual(versions(node.dependencies));
});

it('who is told to install an optional package is told the version that this one is tested with', () => {
  for (const { name, version } of [LLAMA_PACKAGE, GRPC_PACKAGE]) {
    expect(node.peerDependencies[name]).toBe(version);
    expect(node.peerDependenciesMeta[name]).toEqual({ optional: true });
    expect(node.devDependencies[name]).toBe(version);
  }
});

it('every package that is needed has its reason in docs/dependencies.md', () => {
  const document = readFileSync(new URL('../../docs/dependencies.md', import.meta.url), 'utf8');
  const named = (document.match(/^\| `[^|]*/gm) ?? []).join();
  const needed = [node, evaluation].flatMap(({ dependencies, peerDependencies, devDependencies }) =>
    Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies }),
  );
  expect(needed.filter((name) => name !== node.name && !named.includes(`\`${name}\``))).toEqual([]);
});
