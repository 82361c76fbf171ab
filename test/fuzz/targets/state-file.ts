import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { readSeal, sealStateFile } from '../../../src/llm-service/embedded/kept-state/state-file.ts';
import type { OpenTarget } from '../fuzz-target.ts';

/** Files of kept KV state whose ends a disk, or somebody, has changed: what is sealed is what was written, and all else nothing. */
export const open: OpenTarget = () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-state-'));
  const file = join(folder, 'state');
  writeFileSync(file, 'what llama.cpp wrote');
  const seal = {
    binding: 'b'.repeat(64),
    affinity: 'a',
    returns: 2,
    ids: [1, 2, 3] as TokenId[],
    stateBytes: 20,
    checksum: 7,
  };
  sealStateFile(file, seal);
  const whole = readFileSync(file);
  return {
    seeds: [whole],
    words: ['discedge kv 2\n', '"tokens":', '"stateBytes":', '"digest":"', createHash('sha256').digest('hex')],
    check(input) {
      writeFileSync(file, input);
      const read = readSeal(file);
      if (read === undefined) return;
      if (read.stateBytes + read.ids.length * 4 > input.length) throw new Error('more than the file has');
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
};
