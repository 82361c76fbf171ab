import { createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { cacheFolder } from './cache-folder.ts';
import { STEP_WAIT_MS, say } from './install-steps.ts';
import { ServersMissing } from './server-program.ts';

/**
 * Runs `work` while no other process on this machine runs it for the same cache folder. The lock is a listening
 * socket: the kernel takes it back however its holder ends, so it is never left behind as a lock file would be.
 */
export async function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  // Only Linux has sockets without a file; elsewhere there is only `go install`, which does not mind company.
  if (process.platform !== 'linux') return work();
  const address = `\0discedge-servers-${createHash('sha256').update(cacheFolder()).digest('hex').slice(0, 16)}`;
  for (;;) {
    const release = await takeLock(address);
    if (release !== undefined) return work().finally(release);
    say('another run is installing the servers; waiting for it');
    await lockReleased(address);
  }
}

function takeLock(address: string): Promise<(() => void) | undefined> {
  return new Promise((done, fail) => {
    const waiting = new Set<Socket>();
    const server = createServer((socket) => {
      waiting.add(socket);
      socket.on('error', () => {}).on('close', () => waiting.delete(socket));
    });
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? done(undefined) : fail(error),
    );
    server.listen(address, () =>
      done(() => {
        server.close();
        for (const socket of waiting) socket.destroy();
      }),
    );
  });
}

function lockReleased(address: string): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect(address);
    const timer = setTimeout(() => {
      fail(new ServersMissing('Another run has been installing the servers for too long; end it and try again.'));
      socket.destroy();
    }, STEP_WAIT_MS);
    socket
      .on('error', () => {})
      .on('close', () => {
        clearTimeout(timer);
        done();
      });
    socket.resume();
  });
}
