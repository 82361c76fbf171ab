// Tries to have a change of JSON throw: each way of changing it, at a few places, of JSON as it is sent and of what only a parser follows.
import { expect, test } from 'vitest';
import { Chance } from '../../tools/chance.ts';
import { changedJson } from '../fuzz/json-mutations.ts';

const WAYS = 8;
const DEEP = `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)},"b":1}`;

test.each([
  ['of a few levels', '{"a":[1,{"b":"x"},[]],"c":null}'],
  ['that nests deeper than it can be written', DEEP],
])('JSON %s is changed to JSON or nothing, or left to changes of its bytes', (_, text) => {
  for (let way = 0; way < WAYS; way++) {
    for (const seed of [1, 2, 3]) {
      const weighted = <T>(ways: ReadonlyArray<readonly [number, T]>) => (ways[way] as readonly [number, T])[1];
      const chance = Object.assign(new Chance(seed), { weighted });
      const changed = changedJson(Buffer.from(text), { chance, words: ['word'] });
      if (changed !== undefined && changed.length > 0) expect(() => JSON.parse(changed.toString())).not.toThrow();
    }
  }
});
