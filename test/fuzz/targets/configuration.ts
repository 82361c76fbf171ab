import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config/config.ts';
import { SETTINGS } from '../../../src/config/settings/settings.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';

/** The YAML file of settings: it is one, or all that is wrong with it is said. */
export const open: OpenTarget = () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-configuration-'));
  const file = join(folder, 'discedge.yaml');
  return {
    seeds: [
      'llm: scripted\nstore: memory\nmax-wait-ms: 500\nlisten: 127.0.0.1:0\n',
      'models:\n  - name: a\n    llm: scripted\n    context-tokens: 4096\n  - name: b\n    llm: llama-server\n',
      'cors-origins: ["https://a.example", "*"]\nkeys-dir: &a keys\ndata-dir: *a\n',
      '? a\n: !!binary aGVsbG8=\n--- \n%YAML 1.2\n---\n{a: [1, 2, {b: c}], "x": |\n  text\n}\n',
    ],
    words: [...SETTINGS.map(({ key }) => `\n${key}: `), '\n- ', ': ', '&a ', '*a', '!!', '|\n', '<<: ', '{', '[', '# '],
    check(input) {
      writeFileSync(file, input);
      refusedOr(() => loadConfig({ file, env: {} }), DiscedgeError);
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
};
