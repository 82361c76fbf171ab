// Has a stock generator make types of the node's OpenAPI document, and a program that uses every operation through them
// compiled, strictly, and run against the node: what the document does not say, or says wrong, does not compile or fails.
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const run = promisify(execFile);
const project = fileURLToPath(new URL('../../', import.meta.url));
const packages = join(project, 'node_modules');
const program = join(project, 'test/support/generated-client/program.ts');
const COMPILER_OPTIONS = {
  ...{ target: 'es2023', module: 'nodenext', lib: ['es2024', 'dom'], types: ['node'], outDir: 'out', rootDir: '.' },
  ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
  ...{ verbatimModuleSyntax: true, rewriteRelativeImportExtensions: true },
};

let node: InProcessNode;
let folder: string;
beforeAll(async () => {
  node = await startTestNode();
  folder = await mkdtemp(join(tmpdir(), 'generated-client-'));
  await symlink(packages, join(folder, 'node_modules'));
  await copyFile(program, join(folder, 'program.ts'));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  const settings = { compilerOptions: COMPILER_OPTIONS, files: ['program.ts'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(settings));
});
afterAll(async () => {
  await node.close();
  await rm(folder, { recursive: true, force: true });
});

/** A program of a package, with the temporary folder as its own; throws what it prints when it fails. */
async function runIn(...[script, ...args]: [string, ...string[]]): Promise<string> {
  const command = run(process.execPath, [script, ...args], { cwd: folder });
  const { stdout } = await command.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${error.stdout}${error.stderr}`);
  });
  return stdout;
}

it('a generated client compiles, types every success, and runs against the node', async () => {
  await writeFile(join(folder, 'openapi.json'), (await node.get('/openapi.json')).text);
  await runIn(join(packages, 'openapi-typescript/bin/cli.js'), 'openapi.json', '-o', 'api.ts');
  await runIn(join(packages, 'typescript/bin/tsc'), '-p', 'tsconfig.json');
  const { answers } = JSON.parse(await runIn(join(folder, 'out/program.js'), node.url));
  expect(answers).toEqual({
    ...{
      health: 'ok',
      healthUnderV1: 'ok',
      ready: 1,
      props: true,
      listModels: [true],
      retrieveModel: true,
      listModelsAtRoot: 1,
    },
    ...{ createChatCompletion: ['Turn 1: hi'], createCompletion: ['length'] },
    createResponse: ['completed', true],
    ...{ retrieveResponse: true, listInputItems: 1, deleteResponse: true, countInputTokens: true },
    ...{ retrieveChatCompletion: true, updateChatCompletion: { of: 'ada' }, listChatMessages: ['user'] },
    deleteChatCompletion: true,
    ...{ compactConversation: ['message', 'compaction'] },
    // It has come to its end.
    cancelResponse: 400,
    ...{ createConversation: { of: 'ada' }, retrieveConversation: { of: 'ada' }, updateConversation: { of: 'grace' } },
    ...{ addItems: 1, listItems: 2, retrieveItem: 'message', deleteItem: true, deleteConversation: true },
    createEmbeddings: [true],
    ...{ createAnthropicMessage: 'max_tokens', countAnthropicTokens: true },
    ...{ listSlots: true, metrics: true, listNodes: ['self'] },
    takeTurn: ['string', true, 'Turn 2: two'],
    takeTurnAtCompletions: [503, 'context_stale', 'true'],
    ...{ tokenize: [97, 98], detokenize: 'ab', applyTemplate: true },
    ...{ listSessions: [2], showSession: ['one', 'two'], exportSession: [true, true] },
    ...{ forkSession: 1, moveSession: 400, cancelTurn: false, sayComing: 2, deleteSession: true },
    ...{ importSession: 2, exportUser: true, importUser: true },
    ...{ showPreferences: 0, setPreferences: { tone: 'brief' }, clearPreferences: true },
    ...{ setLifetime: 60, showLifetime: 60, clearLifetime: null },
    ...{ eraseUser: ['erased', 1], showErasure: 'erased' },
  });
});
