import { createServer } from 'node:net';
import { expect, it, vi } from 'vitest';

/** As another process has it. */
async function anotherFinder(): Promise<() => Promise<number>> {
  vi.resetModules();
  return (await import('../../tools/free-port.ts')).freePort;
}

it.runIf(process.platform === 'linux')('no port is given to two who look for one where the other did', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const finders = [await anotherFinder(), await anotherFinder(), await anotherFinder()];
  const ports: number[] = [];
  for (const freePort of finders) ports.push(await freePort(), await freePort());
  ports.push(...(await Promise.all(finders.map((freePort) => freePort()))));
  expect(new Set(ports).size).toBe(9);
});

it('a port in use is given to nobody', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.25);
  const first = await (await anotherFinder())();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(first + 1, '127.0.0.1', resolve));
  try {
    expect(await (await anotherFinder())()).not.toBe(first + 1);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});
