import type { ClusterName, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import { failureText } from '../../replication/failure-text.ts';
import {
  boxKeygroup,
  itemId,
  MEMBERS_ROOT,
  MEMBERS_ROOT_VALUE,
  membersKeygroup,
  nodeCode,
  recordId,
  recordsKeygroup,
  startCode,
} from '../names.ts';
import type { FredReplica } from '../wire/contract.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { FredFailure } from '../wire/fred-failure.ts';

const RETRY_FIRST_MS = 200;
const RETRY_MAX_MS = 5_000;
/** Names the trigger at this node's FReD node; one for each keygroup. */
const TRIGGER_ID = 'discedge';
/** Messages are for now. */
const BOX_EXPIRY_SECONDS = 60;
/** Of a member that says nothing more; it says it again in half the time. */
export const MEMBER_EXPIRY_SECONDS = 3_600;
const SELF_CHECK = '1';

export interface OwnFredNodeOptions {
  readonly client: FredClient;
  readonly nodeId: NodeId;
  readonly cluster: ClusterName;
  /** Of this node's own logs: one for each keygroup that is shared. */
  readonly logs: readonly OriginLog[];
  /** Where that node's triggers tell of items. */
  readonly triggerHost: string;
  /** Of records. */
  readonly expirySeconds: number;
  readonly checkEveryMs: number;
  /** All keygroups are in place there, for the first time or anew: what it held before may be gone. Throws what it likes: it is tried again. */
  readonly onJoined: (fredNodeId: string) => Promise<void>;
}

/**
 * This node's own FReD node: has it take part in the keygroups and tell of what comes, and does so again whenever it has lost them,
 * as it does with each wipe. For as long as it cannot, the reason is here, and it goes on trying.
 */
export class OwnFredNode {
  readonly #options: OwnFredNodeOptions;
  readonly #environment: Environment;
  readonly #bell: Bell;
  readonly #start: string;
  readonly box: string;
  readonly members: string;
  #probes = 0;
  #reason: string | undefined = 'not asked yet';
  #hasJoined = false;

  constructor(options: OwnFredNodeOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#bell = new Bell(environment.clock);
    this.#start = startCode(environment.random.bytes(4));
    const { cluster, nodeId, client } = options;
    this.box = boxKeygroup(cluster, { nodeId, fredHost: client.host });
    this.members = membersKeygroup(cluster);
  }

  /** Why records cannot leave this node; `undefined` when they can. */
  get reason(): string | undefined {
    return this.#reason;
  }

  recordsOf(keygroup: KeygroupId): string {
    return recordsKeygroup(this.#options.cluster, keygroup);
  }

  /** Something that it was asked failed. */
  checkNow(): void {
    this.#bell.ring();
  }

  /** Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      try {
        if (!this.#hasJoined || !(await this.#isInPlace(signal))) await this.#join(signal);
        this.#become(undefined);
        backOff.reset();
        await this.#bell.wait(signal, this.#options.checkEveryMs);
      } catch (error) {
        if (signal.aborted) return;
        this.#become(failureText(error));
        await this.#bell.wait(signal, backOff.next());
      }
    }
  }

  #become(reason: string | undefined): void {
    const { logger } = this.#environment;
    if (this.#reason === reason) return;
    if (reason === undefined) logger.info('fred_joined', { host: this.#options.client.host });
    else logger.warn('fred_unusable', { host: this.#options.client.host, reason });
    this.#reason = reason;
  }

  /** A wiped node has neither triggers nor items, whatever the naming service says. */
  async #isInPlace(signal: AbortSignal): Promise<boolean> {
    const { client, logs } = this.#options;
    const kept = [
      { keygroup: this.members, id: MEMBERS_ROOT },
      ...logs.map((log) => ({ keygroup: this.recordsOf(log.keygroup), id: recordId(log, 0) })),
    ];
    for (const keygroup of [this.box, ...kept.map((item) => item.keygroup)])
      if (!(await this.#hasTrigger(keygroup, signal))) return false;
    for (const item of kept) if (!(await this.#holds(item, signal))) return false;
    await client.update(this.#probe(), { signal });
    return true;
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { client, logs, expirySeconds, onJoined } = this.#options;
    const self = await this.#takeBox(signal);
    await this.#take({ keygroup: this.members, self, expirySeconds: MEMBER_EXPIRY_SECONDS }, signal);
    if (!(await this.#holds({ keygroup: this.members, id: MEMBERS_ROOT }, signal)))
      await client.update({ keygroup: this.members, id: MEMBERS_ROOT, value: MEMBERS_ROOT_VALUE }, { signal });
    for (const log of logs) {
      const keygroup = this.recordsOf(log.keygroup);
      await this.#take({ keygroup, self, expirySeconds }, signal);
      await client.update({ keygroup, id: recordId(log, 0), value: MEMBERS_ROOT_VALUE }, { signal });
    }
    await onJoined(self);
    this.#hasJoined = true;
  }

  /** Whoever holds the box is this node's own FReD node: nothing else tells its name. */
  async #takeBox(signal: AbortSignal): Promise<string> {
    const { client } = this.#options;
    await tried(client.createKeygroup({ keygroup: this.box, expirySeconds: BOX_EXPIRY_SECONDS }, { signal }));
    const { replicas } = await client.keygroup(this.box, { signal });
    const self = replicas[0]?.nodeId;
    if (self === undefined || replicas.length > 1)
      throw new Error(`keygroup ${this.box} is this node's own and is held by ${names(replicas)}`);
    await tried(client.addReplica({ keygroup: this.box, nodeId: self, expirySeconds: BOX_EXPIRY_SECONDS }, { signal }));
    await this.#setTrigger(this.box, signal);
    try {
      await client.update(this.#probe(), { signal });
    } catch (error) {
      if (!(error instanceof FredFailure && ['failed', 'forbidden'].includes(error.kind))) throw error;
      throw new Error(
        `keygroup ${this.box} is this node's own and is held by ${self}: either that is not the FReD node at ${client.host}, or it cannot reach this node's triggers at ${this.#options.triggerHost} (${error.message})`,
        { cause: error },
      );
    }
    return self;
  }

  async #take(
    { keygroup, self, expirySeconds }: { keygroup: string; self: string; expirySeconds: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#options;
    await tried(client.createKeygroup({ keygroup, expirySeconds }, { signal }));
    const failure = await tried(client.addReplica({ keygroup, nodeId: self, expirySeconds }, { signal }));
    const { replicas } = await client.keygroup(keygroup, { signal });
    if (!replicas.some(({ nodeId }) => nodeId === self))
      throw new Error(
        `keygroup ${keygroup} is held by ${names(replicas)} and does not take ${self} in: ${failureText(failure)}`,
      );
    await this.#setTrigger(keygroup, signal);
  }

  async #setTrigger(keygroup: string, signal: AbortSignal): Promise<void> {
    const { client, triggerHost } = this.#options;
    if (await this.#hasTrigger(keygroup, signal)) return;
    // One of an earlier start that listened elsewhere.
    await tried(client.removeTrigger({ keygroup, triggerId: TRIGGER_ID }, { signal }));
    await client.addTrigger({ keygroup, triggerId: TRIGGER_ID, host: triggerHost }, { signal });
  }

  async #hasTrigger(keygroup: string, signal: AbortSignal): Promise<boolean> {
    const { client, triggerHost } = this.#options;
    try {
      const triggers = await client.triggers(keygroup, { signal });
      return triggers.some(({ triggerId, host }) => triggerId === TRIGGER_ID && host === triggerHost);
    } catch (error) {
      if (isRefusal(error)) return false;
      throw error;
    }
  }

  async #holds(item: { keygroup: string; id: string }, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#options.client.keys({ ...item, count: 1 }, { signal })).length > 0;
    } catch (error) {
      if (isRefusal(error)) return false;
      throw error;
    }
  }

  /** An item in this node's own box, each under an id of its own: that it is taken says that the triggers are reached, too. */
  #probe() {
    const id = itemId({ nodeCode: nodeCode(this.#options.nodeId), start: this.#start, number: ++this.#probes });
    return { keygroup: this.box, id, value: SELF_CHECK };
  }
}

/** FReD answers, and says no: nearly all that it says so with is one code. */
function isRefusal(error: unknown): boolean {
  return error instanceof FredFailure && (error.kind === 'failed' || error.kind === 'forbidden');
}

/** Its failure, where FReD refused: it may be done already, or has been done all the same. */
async function tried(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return error;
  }
}

function names(replicas: readonly FredReplica[]): string {
  return replicas.length === 0 ? 'nobody' : replicas.map(({ nodeId }) => nodeId).join(', ');
}
