import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that systems hand out by themselves, to whoever asks for any and to whoever connects. */
const FIRST_PORT = 10_240;
const PORTS = 9_600;
/** Test files that run at once have each a share of their own, and so has whatever they start. */
const SHARES = 16;
const SHARE_PORTS = PORTS / SHARES;
const share = Number(process.env.VITEST_POOL_ID ?? 0) % SHARES;
let tried = Math.floor(Math.random() * SHARE_PORTS);

/**
 * A loopback port that nobody uses now, nor takes before the caller does unless it asks for this very port: for programs that
 * cannot take port 0 and say which one they got.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < SHARE_PORTS; attempt++) {
    const port = FIRST_PORT + share * SHARE_PORTS + (tried++ % SHARE_PORTS);
    if (await isFree(port)) return port;
  }
  throw new Error('no port is free');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}
