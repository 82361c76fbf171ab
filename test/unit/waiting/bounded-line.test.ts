// Tries to overtake in the line, overfill it, leave it without freeing one's place, or lose a place that is handed over.
import { expect, test } from 'vitest';
import { BoundedLine } from '../../../src/waiting/bounded-line.ts';

const { signal: never } = new AbortController();
const full = (waiting: number) => new Error(`${waiting} wait`);

function crowd(names: string[], line: BoundedLine<string>) {
  const served: string[] = [];
  const all = names.map((name) => line.join(never).then((place) => served.push(`${name} ${place}`)));
  return { served, all: Promise.all(all) };
}

test('places go to those who wait, in the order they came', async () => {
  const line = new BoundedLine<string>(3, full);
  const { served, all } = crowd(['a', 'b', 'c'], line);
  expect(['1', '2', '3', '4'].map((place) => line.serveNext(place))).toEqual([true, true, true, false]);
  await all;
  expect(served).toEqual(['a 1', 'b 2', 'c 3']);
});

test('more than may wait are refused, told how many do, and let in once one has left', async () => {
  const line = new BoundedLine<string>(2, full);
  const { served } = crowd(['a', 'b'], line);
  await expect(line.join(never)).rejects.toThrow('2 wait');
  line.serveNext('1');
  const third = line.join(never);
  line.serveNext('2');
  line.serveNext('3');
  expect(await third).toBe('3');
  expect(served).toEqual(['a 1', 'b 2']);
});

test('who gives up leaves with the reason and frees the place in the line', async () => {
  const line = new BoundedLine<string>(1, full);
  const abort = new AbortController();
  const left = line.join(abort.signal);
  abort.abort(new Error('enough'));
  await expect(left).rejects.toThrow('enough');
  await expect(line.join(abort.signal)).rejects.toThrow('enough');
  const { served, all } = crowd(['a'], line);
  expect(line.serveNext('1')).toBe(true);
  await all;
  expect(served).toEqual(['a 1']);
});

test('a place that has been handed over is not lost to an abort', async () => {
  const line = new BoundedLine<string>(1, full);
  const abort = new AbortController();
  const served = line.join(abort.signal);
  expect(line.serveNext('1')).toBe(true);
  abort.abort();
  expect(await served).toBe('1');
});

test('all can be sent away at once, and the line goes on', async () => {
  const line = new BoundedLine<string>(2, full);
  const [first, second] = [line.join(never), line.join(never)];
  line.refuseAll(new Error('closed'));
  await expect(first).rejects.toThrow('closed');
  await expect(second).rejects.toThrow('closed');
  expect(line.serveNext('1')).toBe(false);
  const next = line.join(never);
  line.serveNext('2');
  expect(await next).toBe('2');
});
