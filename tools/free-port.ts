import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** Below the ports that systems hand out by themselves, to whoever asks for any and to whoever connects. */
const FIRST_PORT = 10_240;
const PORTS = 9_600;
/** Held until this process ends. */
const claims: Server[] = [];
let tried = Math.floor(Math.random() * PORTS);

/**
 * A loopback port that nobody uses now, nor gets from here while this process lives, in whatever process: for programs that
 * cannot take port 0 and say which one they got.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < PORTS; attempt++) {
    const port = FIRST_PORT + (tried++ % PORTS);
    const claim = await claimed(port);
    if (claim === undefined) continue;
    if (await isFree(port)) {
      claims.push(claim);
      return port;
    }
    claim.close();
  }
  throw new Error('no port is free');
}

/**
 * A socket by a name that only one may have, among all who share the machine's ports, and that goes with its process. Linux
 * has such names without files; elsewhere chance has to do.
 */
async function claimed(port: number): Promise<Server | undefined> {
  const server = createServer().unref();
  if (process.platform !== 'linux') return server;
  return (await listens(server, { path: `\0discedge-free-port-${port}` })) ? server : undefined;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  if (!(await listens(server, { host: '127.0.0.1', port }))) return false;
  await once(server.close(), 'close');
  return true;
}

async function listens(server: Server, address: { path: string } | { host: string; port: number }): Promise<boolean> {
  try {
    await once(server.listen(address), 'listening');
    return true;
  } catch {
    return false;
  }
}
