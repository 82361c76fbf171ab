import type { Socket } from 'node:net';
import { NodeTransport } from '@nats-io/transport-node/lib/node_transport.js';

/*
 * The client library (3.3.1) takes every listener off a socket before it hands it on or closes it. An error that the socket
 * tells of in between, a reset while certificates are read or a write after the peer's end, has nobody to hear it then, and
 * Node.js ends the process. Imported for this effect: sockets of the library keep one listener, which does nothing, as the
 * library finds out about every lost connection by other means.
 */

const { dial, startTLS, tlsFirst } = NodeTransport.prototype;

NodeTransport.prototype.dial = async function (where) {
  return keepingListener(await dial.call(this, where));
};
NodeTransport.prototype.startTLS = async function () {
  return keepingListener(await startTLS.call(this));
};
NodeTransport.prototype.tlsFirst = async function (where) {
  return keepingListener(await tlsFirst.call(this, where));
};

function keepingListener<S extends Socket>(socket: S): S {
  const removeAllListeners = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (...events) => {
    removeAllListeners(...events);
    if (socket.listenerCount('error') === 0) socket.on('error', () => {});
    return socket;
  };
  return socket.removeAllListeners();
}
