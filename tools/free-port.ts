import { type AddressInfo, createServer } from 'node:net';

/**
 * A loopback port that nobody uses now. Somebody may before the caller does: only for programs that cannot take port 0
 * and say which one they got.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
