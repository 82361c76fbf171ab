import { Server, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { CLIENT_METHODS, type Unary } from '../../src/context-store/fred/wire/contract.ts';
import { type FredTls, serverSecurity } from '../../src/context-store/fred/wire/fred-tls.ts';
import type { FredNode } from './fred-node.ts';
import { Panic } from './node-store.ts';
import { PEERING_METHODS } from './peering.ts';

export interface NodeServerOptions {
  readonly tls: FredTls;
  readonly node: FredNode;
  /** Resolves at once, unless the process is stopped: then when it goes on. */
  readonly whileRunning: () => Promise<void>;
  readonly onPanic: (reason: string) => void;
}

/** The ports of one run of a FReD node: for its clients, and for its peers. */
export class NodeServer {
  readonly #server = new Server();
  readonly #tls: FredTls;

  constructor({ tls, node, whileRunning, onPanic }: NodeServerOptions) {
    this.#tls = tls;
    const serve = (methods: object, answers: object, callerOf: (call: Call) => unknown[]) => {
      const handlers = Object.keys(answers).map((name) => {
        const answer = answers[name as never] as (request: unknown, ...caller: unknown[]) => Promise<unknown>;
        const handle = async (call: Call, done: sendUnaryData<unknown>) => {
          await whileRunning();
          try {
            done(null, await answer(call.request, ...callerOf(call)));
          } catch (error) {
            if (error instanceof Panic) return onPanic(error.message);
            done({ code: status.UNKNOWN, details: (error as Error).message });
          }
        };
        return [name, handle];
      });
      this.#server.addService(methods as Readonly<Record<string, Unary<object, object>>>, Object.fromEntries(handlers));
    };
    serve(CLIENT_METHODS, node.client, (call) => [commonNameOf(call)]);
    serve(PEERING_METHODS, node.peer, () => []);
  }

  /** Resolves to the port. */
  async listen(host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const bound = (error: Error | null, port: number) => (error === null ? resolve(port) : reject(error));
      this.#server.bindAsync(host, serverSecurity(this.#tls), bound);
    });
  }

  /** Refuses new connections there and ends those that are. */
  refuse(host: string): void {
    this.#server.drain(host, 0);
    this.#server.unbind(host);
  }

  /** As when the process is killed. */
  end(): void {
    this.#server.forceShutdown();
  }
}

type Call = ServerUnaryCall<unknown, unknown>;

function commonNameOf(call: Call): string {
  const name = call.getAuthContext().sslPeerCertificate?.subject.CN;
  return typeof name === 'string' ? name : '';
}
