import { Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Unary } from '../../src/context-store/fred/wire/contract.ts';
import { channelSecurity, type FredTls } from '../../src/context-store/fred/wire/fred-tls.ts';

/** Channels of one FReD node to others. They wait ever longer, up to two minutes, before they try one again that refused. */
export class Channels {
  readonly #tls: FredTls;
  readonly #channels = new Map<string, Client>();

  constructor(tls: FredTls) {
    this.#tls = tls;
  }

  /** Without a limit of time, as FReD calls. */
  call<Request, Response>(host: string, method: Unary<Request, Response>, request: Request): Promise<Response> {
    const channel = this.#channelTo(host);
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response?: Response) =>
        error === null ? resolve(response as Response) : reject(error);
      const { path, requestSerialize, responseDeserialize } = method;
      channel.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), done);
    });
  }

  /** Ends all calls and forgets who has refused: the next call tries at once. */
  reset(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }

  #channelTo(host: string): Client {
    const known = this.#channels.get(host);
    if (known !== undefined) return known;
    const { credentials, options } = channelSecurity(host, this.#tls);
    const channel = new Client(host, credentials, { ...options, 'grpc.use_local_subchannel_pool': 1 });
    this.#channels.set(host, channel);
    return channel;
  }
}
