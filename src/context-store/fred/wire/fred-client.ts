import { Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Clock } from '../../../environment/environment.ts';
import {
  CLIENT_METHODS,
  FRED_ROLES,
  type FredItem,
  type FredKey,
  type FredKeygroup,
  type FredNode,
  type FredTrigger,
  type FredVersion,
  type ItemPlace,
  type ItemRange,
  type KeygroupName,
  type Unary,
  type VersionMessage,
} from './contract.ts';
import { FredFailure, fredFailure } from './fred-failure.ts';
import { checkName, checkValue } from './fred-rules.ts';
import { channelSecurity, type FredTls } from './fred-tls.ts';

export interface FredClientOptions {
  /** `name:port` or `address:port` of a FReD node's client port. The certificate there has to name it. */
  readonly host: string;
  readonly tls: FredTls;
  readonly clock: Clock;
  /** Of a call without its own. An uncached question to an etcd that is down takes FReD 5 s to refuse. */
  readonly callMs?: number;
}

export interface CallOptions {
  /** Longest wait for the answer. */
  readonly callMs?: number;
  readonly signal?: AbortSignal;
}

const CALL_MS = 10_000;
/** A page of large values; who asks for more gets `too-large` and asks for fewer. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const RECONNECT_FIRST_MS = 100;
/** A peer that is back is asked soon after; a try costs it one refused connection. */
const RECONNECT_MAX_MS = 2_000;

/**
 * One FReD node's client port. Connects with the first call and again whenever it was lost; a call fails at once while nobody
 * answers. All calls throw `FredFailure`. That `update` resolves means that the node has taken it, and no more: it is neither
 * durable there nor at any other node.
 */
export class FredClient {
  readonly host: string;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #callMs: number;
  /** What ends each call that is under way. */
  readonly #calls = new Set<(reason: unknown) => void>();
  #isClosed = false;

  /** Throws `certificate_unusable`. */
  constructor({ host, tls, clock, callMs = CALL_MS }: FredClientOptions) {
    const { credentials, options } = channelSecurity(host, tls);
    this.host = host;
    this.#clock = clock;
    this.#callMs = callMs;
    this.#client = new Client(host, credentials, {
      ...options,
      // A channel of its own: one that another client let fail is not this one's.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_FIRST_MS,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
      'grpc.max_receive_message_length': ANSWER_BYTES_MAX,
      'grpc.enable_retries': 0,
    });
  }

  /** A keygroup that can be rewritten, with this node as its only replica. Fails for one that is there, at whichever node. */
  async createKeygroup(
    { keygroup, expirySeconds }: KeygroupName & { readonly expirySeconds: number },
    options?: CallOptions,
  ): Promise<void> {
    checkName('keygroup', keygroup);
    await this.#call(CLIENT_METHODS.CreateKeygroup, { keygroup, isMutable: true, expirySeconds }, options);
  }

  /**
   * Adds a node to those that hold the keygroup. It may fail and have registered the node all the same: `keygroup` tells. Asked
   * at the node that is added, all items come in one message, and none when they are more than 4 MiB; asked at a
   * node that holds them, one by one.
   */
  async addReplica(
    replica: KeygroupName & { readonly nodeId: string; readonly expirySeconds: number },
    options?: CallOptions,
  ): Promise<void> {
    checkName('keygroup', replica.keygroup);
    await this.#call(CLIENT_METHODS.AddReplica, replica, options);
  }

  async removeReplica(replica: KeygroupName & { readonly nodeId: string }, options?: CallOptions): Promise<void> {
    checkName('keygroup', replica.keygroup);
    await this.#call(CLIENT_METHODS.RemoveReplica, replica, options);
  }

  /** Who holds a keygroup. `forbidden` also when there is none of this name. */
  async keygroup(keygroup: string, options?: CallOptions): Promise<FredKeygroup> {
    checkName('keygroup', keygroup);
    return this.#call(CLIENT_METHODS.GetKeygroupInfo, { keygroup }, options);
  }

  /** All FReD nodes that have registered in the naming service, running or not. */
  async nodes(options?: CallOptions): Promise<readonly FredNode[]> {
    return (await this.#call(CLIENT_METHODS.GetAllReplica, {}, options)).replicas;
  }

  /** Has this node tell the trigger of what is written, from now until the node is wiped. */
  async addTrigger(trigger: KeygroupName & FredTrigger, options?: CallOptions): Promise<void> {
    checkName('keygroup', trigger.keygroup);
    await this.#call(CLIENT_METHODS.AddTrigger, trigger, options);
  }

  async removeTrigger(trigger: KeygroupName & { readonly triggerId: string }, options?: CallOptions): Promise<void> {
    checkName('keygroup', trigger.keygroup);
    await this.#call(CLIENT_METHODS.RemoveTrigger, trigger, options);
  }

  /** Those of this node. */
  async triggers(keygroup: string, options?: CallOptions): Promise<readonly FredTrigger[]> {
    checkName('keygroup', keygroup);
    return (await this.#call(CLIENT_METHODS.GetKeygroupTriggers, { keygroup }, options)).triggers;
  }

  /** Gives a client's common name a role in the keygroup. */
  async addUser(
    { keygroup, user, role }: KeygroupName & { readonly user: string; readonly role: keyof typeof FRED_ROLES },
    options?: CallOptions,
  ): Promise<void> {
    checkName('keygroup', keygroup);
    await this.#call(CLIENT_METHODS.AddUser, { keygroup, user, role: FRED_ROLES[role] }, options);
  }

  /**
   * Writes over what is there. Fails when a trigger of this node fails, though it has stored the value and passed it on.
   * `invalid` and `too-large` say so before anything is sent.
   */
  async update(item: ItemPlace & { readonly value: string }, options?: CallOptions): Promise<FredVersion> {
    checkPlace(item);
    checkValue(item);
    return versionOf((await this.#call(CLIENT_METHODS.Update, item, options)).version);
  }

  /** Several after simultaneous writes; none for an item that is not there or was deleted. */
  async read(place: ItemPlace, options?: CallOptions): Promise<readonly FredItem[]> {
    checkPlace(place);
    try {
      return (await this.#call(CLIENT_METHODS.Read, place, options)).items.map(withVersion);
    } catch (error) {
      if (error instanceof FredFailure && error.kind === 'absent') return [];
      throw error;
    }
  }

  /** Leaves a tombstone, which `keys` and `scan` list for good. */
  async delete(place: ItemPlace, options?: CallOptions): Promise<FredVersion> {
    checkPlace(place);
    return versionOf((await this.#call(CLIENT_METHODS.Delete, place, options)).version);
  }

  /** Up to `count` items from `id` on, `id` included, by the order of `id|`. Fails when there is no item `id`. */
  async scan(range: ItemRange, options?: CallOptions): Promise<readonly FredItem[]> {
    checkPlace(range);
    return (await this.#call(CLIENT_METHODS.Scan, range, options)).items.map(withVersion);
  }

  /** As `scan`, without the values. */
  async keys(range: ItemRange, options?: CallOptions): Promise<readonly FredKey[]> {
    checkPlace(range);
    return (await this.#call(CLIENT_METHODS.Keys, range, options)).keys.map(withVersion);
  }

  /** Ends all calls with `closed`. */
  close(): void {
    this.#isClosed = true;
    for (const end of this.#calls) end(this.#closed());
    this.#client.close();
  }

  #closed(): FredFailure {
    return new FredFailure('closed', `the client of FReD at ${this.host} is closed`);
  }

  #call<Request, Response>(
    method: Unary<Request, Response>,
    request: Request,
    { callMs = this.#callMs, signal }: CallOptions = {},
  ): Promise<Response> {
    const name = method.path.slice(method.path.lastIndexOf('/') + 1);
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(this.#closed());
      if (signal?.aborted) return reject(signal.reason);
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        (error: ServiceError | null, response?: Response) => {
          this.#calls.delete(end);
          cancelTimer();
          signal?.removeEventListener('abort', abort);
          if (error === null) resolve(response as Response);
          else reject(fredFailure({ method: name, host: this.host }, error));
        },
      );
      const end = (reason: unknown) => {
        reject(reason);
        call.cancel();
      };
      this.#calls.add(end);
      const abort = () => end(signal?.reason);
      const late = () =>
        end(new FredFailure('late', `FReD at ${this.host} did not answer ${name} within ${callMs} ms`));
      const cancelTimer = this.#clock.after(callMs, late);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

function checkPlace({ keygroup, id }: ItemPlace): void {
  checkName('keygroup', keygroup);
  checkName('id', id);
}

function versionOf(message: VersionMessage | null): FredVersion {
  return message?.ticks ?? {};
}

function withVersion<Written extends { readonly version: VersionMessage | null }>(
  written: Written,
): Omit<Written, 'version'> & { readonly version: FredVersion } {
  return { ...written, version: versionOf(written.version) };
}
