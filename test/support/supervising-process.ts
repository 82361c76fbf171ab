/*
 * A process that supervises a nats-server as a node does, to be killed by tests: `node --import tsx <this> PROGRAM FOLDER`.
 * Prints the server's process id and port once it is ready.
 */
import { natsServerConfig } from '../../src/context-store/nats/server/server-config.ts';
import { parseNodeId } from '../../src/domain/identifiers.ts';
import { supervise } from '../../tools/supervised-nats.ts';

const [program = '', folder = ''] = process.argv.slice(2);
const server = await supervise({
  program,
  folder,
  config: (storeDir) =>
    natsServerConfig({
      nodeId: parseNodeId('e1'),
      listen: { host: '127.0.0.1', port: 0 },
      storeDir,
      maxFileBytes: 1e8,
      peers: [],
    }),
});
process.stdout.write(`ready ${server.pid} ${server.port}\n`);
