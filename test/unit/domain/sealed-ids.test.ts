// Tries to make an id: from pieces of real ones, under another key, by changing a letter, in another spelling of the same bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SealedIds } from '../../../src/domain/encryption/sealed-ids.ts';

const key = (fill: number) => new Uint8Array(32).fill(fill);
const here = new SealedIds(key(1));
const content = fc.uint8Array({ maxLength: 200 });

describe('a sealed id', () => {
  it('is opened by every node of the cluster, and is one id for one content', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        const id = here.seal('resp_', bytes);
        expect(id).toMatch(/^resp_[A-Za-z0-9_-]+$/);
        expect(new SealedIds(key(1)).seal('resp_', bytes)).toBe(id);
        expect([...(new SealedIds(key(1)).open('resp_', id) ?? [])]).toEqual([...bytes]);
      }),
    );
  });

  it('is nothing to a node of another cluster, and of no other kind', () => {
    const id = here.seal('resp_', new Uint8Array([1, 2, 3]));
    expect(new SealedIds(key(2)).open('resp_', id)).toBeUndefined();
    expect(here.open('conv_', id.replace('resp_', 'conv_'))).toBeUndefined();
    expect(here.open('conv_', id)).toBeUndefined();
  });

  it('is not opened when any letter is another, missing or added, whatever bytes it stands for', () => {
    const id = here.seal('resp_', new Uint8Array(35));
    for (let at = 5; at < id.length; at++) {
      for (const letter of ['A', 'B', '-', '=', '+']) {
        if (id[at] === letter) continue;
        expect(here.open('resp_', id.slice(0, at) + letter + id.slice(at + 1))).toBeUndefined();
      }
      expect(here.open('resp_', id.slice(0, at) + id.slice(at + 1))).toBeUndefined();
    }
    expect(here.open('resp_', `${id}=`)).toBeUndefined();
    expect(here.open('resp_', '')).toBeUndefined();
    expect(here.open('resp_', 'resp_')).toBeUndefined();
  });

  it('shows nothing of what it says, nor that two say nearly the same', () => {
    const [a, b] = [0, 1].map((last) => here.seal('resp_', Buffer.from(`session-of-somebody-${last}`)));
    expect(Buffer.from((a as string).slice(5), 'base64url').toString('latin1')).not.toContain('session');
    expect((a as string).slice(5, 20)).not.toBe((b as string).slice(5, 20));
  });

  it('needs a whole key', () => {
    expect(() => new SealedIds(new Uint8Array(31))).toThrow(RangeError);
  });
});
