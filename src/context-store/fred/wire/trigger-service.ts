import { Server, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { DiscedgeError } from '../../../domain/errors.ts';
import { type Empty, type ItemPlace, TRIGGER_METHODS } from './contract.ts';
import { type FredTls, serverSecurity } from './fred-tls.ts';

/** What a FReD node tells of. Unordered, and never of what it could not tell at once. */
export interface TriggeredItem extends ItemPlace {
  /** Empty when it was deleted. */
  readonly value: string;
}

export interface TriggerServiceOptions {
  /** `address:port` to listen at; port 0 for a free one. */
  readonly listen: string;
  readonly tls: FredTls;
  /**
   * Called after FReD has its answer, for own writes too: until then the writer waits. Must not throw. Anyone with a certificate
   * of the authority can call, with any content.
   */
  readonly onItem: (item: TriggeredItem) => void;
}

/** A little above what FReD's own messages can have. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024 + 65_536;
/** Of one FReD node at a time; it waits for the rest. */
const CALLS_MAX = 256;

/** Where FReD nodes tell of what was written to them. */
export class TriggerService {
  /** Where it listens. */
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Throws `port_in_use`, `config_invalid` for an address that is not this machine's, and `certificate_unusable`. */
  static async start({ listen, tls, onItem }: TriggerServiceOptions): Promise<TriggerService> {
    const server = new Server({
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_concurrent_streams': CALLS_MAX,
    });
    const answerThen = (tell: () => void, answer: sendUnaryData<Empty>) => {
      answer(null, {});
      setImmediate(tell);
    };
    server.addService(TRIGGER_METHODS, {
      PutItemTrigger: ({ request }: ServerUnaryCall<TriggeredItem, Empty>, answer: sendUnaryData<Empty>) =>
        answerThen(() => onItem(request), answer),
      DeleteItemTrigger: ({ request }: ServerUnaryCall<ItemPlace, Empty>, answer: sendUnaryData<Empty>) =>
        answerThen(() => onItem({ ...request, value: '' }), answer),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(listen, serverSecurity(tls), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    }).catch((cause: Error) => {
      if (cause instanceof DiscedgeError) throw cause;
      const code = cause.message.includes('EADDRINUSE') ? 'port_in_use' : 'config_invalid';
      throw new DiscedgeError(code, `FReD's triggers cannot be listened for at ${listen}: ${cause.message}`, { cause });
    });
    return new TriggerService(server, port);
  }

  /** Ends all calls. */
  async close(): Promise<void> {
    this.#server.forceShutdown();
  }
}
