import type { Environment } from '../../environment/environment.ts';
import type { FredStore, FredStoreOptions } from '../fred.ts';
import type { OriginLog } from '../leveldb/log/origin-log.ts';
import { failureText } from '../replication/failure-text.ts';
import { type Announcement, parseMessage } from '../replication/peers/peer-protocol.ts';
import { answerTo } from '../replication/peers/peer-requests.ts';
import { SharedReplica } from '../replication/shared-replica.ts';
import type { ReplicationStatus } from '../replication-status.ts';
import { endOfMany } from './end-of-many.ts';
import { FredPublisher, VALUE_CHARACTERS_MAX } from './own/fred-publisher.ts';
import { OwnFredNode } from './own/own-fred-node.ts';
import { FredDirectory } from './peers/fred-directory.ts';
import { Mailbox } from './peers/mailbox.ts';
import type { FredClient } from './wire/fred-client.ts';
import type { TriggeredItem, TriggerService } from './wire/trigger-service.ts';

/** Between two looks for what triggers have not told of. */
const SCAN_EVERY_MS = 5_000;
/** Of one answer between nodes: what fits into an item fits into an answer, with its framing. */
const ANSWER_BYTES_MAX = Math.floor((VALUE_CHARACTERS_MAX * 7) / 8) + 64;

const NONE: ReadonlySet<number> = new Set();

export interface FredReplicaParts extends FredStoreOptions {
  readonly triggers: TriggerService;
  readonly clientFor: (host: string) => FredClient;
}

/** A replica that shares over FReD. */
export class FredReplica extends SharedReplica implements FredStore {
  protected readonly directory: FredDirectory;
  readonly #options: FredReplicaParts;
  readonly #environment: Environment;
  readonly #client: FredClient;
  readonly #own: OwnFredNode;
  readonly #publishers: readonly FredPublisher[];
  readonly #mailbox: Mailbox;
  readonly #end = endOfMany();
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: FredReplicaParts, environment: Environment) {
    const { replica, keygroups, cluster, excluded = [], clientFor, scanEveryMs = SCAN_EVERY_MS } = options;
    super(options, environment);
    const { nodeId, incarnation } = replica;
    this.#options = options;
    this.#environment = environment;
    this.#client = clientFor(options.fredHost);
    const expirySeconds = Math.ceil(options.itemMaxAgeMs / 1000);
    const logs = keygroups.map((keygroup): OriginLog => ({ origin: nodeId, incarnation, keygroup }));
    this.#own = new OwnFredNode(
      {
        client: this.#client,
        nodeId,
        cluster,
        logs,
        triggerHost: triggerHostOf(options),
        expirySeconds,
        checkEveryMs: scanEveryMs,
        onJoined: (fredNode) => this.#joined(fredNode),
      },
      environment,
    );
    this.#publishers = logs.map(
      (log) =>
        new FredPublisher(
          {
            log,
            replica,
            client: this.#client,
            keygroup: this.#own.recordsOf(log.keygroup),
            expirySeconds,
            onFailed: () => this.#own.checkNow(),
          },
          environment,
        ),
    );
    // The text of what is deleted goes from FReD, too, whoever has deleted it.
    replica.onRecord(({ record }) => {
      if (record.kind === 'tombstone') this.wake();
    });
    this.#mailbox = new Mailbox(
      {
        nodeId,
        boxOf: (peer) => this.directory.boxOf(peer),
        answer: (data) => this.#answer(data),
        onAnnouncement: (from, data) => {
          const news = parseMessage('announcement', data);
          if (news !== undefined) this.directory.hear(from, news);
        },
      },
      environment,
    );
    this.directory = new FredDirectory(
      {
        replica,
        applier: this.applier,
        acks: this.acks,
        holders: this.holders,
        cluster,
        keygroups,
        excluded,
        ownClient: this.#client,
        clientFor,
        members: this.#own.members,
        ownBox: this.#own.box,
        recordsOf: (keygroup) => this.#own.recordsOf(keygroup),
        mailbox: this.#mailbox,
        scanEveryMs,
        describe: () => this.describe(),
        onAccepted: () => this.gapFills.look(),
      },
      environment,
    );
  }

  start(): void {
    const { signal } = this.#end;
    this.#running = Promise.all([this.#own.run(signal), ...this.#publishers.map((publisher) => publisher.run(signal))]);
    this.directory.start();
    this.gapFills.start();
  }

  /** FReD tells of an item. */
  hear({ keygroup, id, value }: TriggeredItem): void {
    if (this.#end.signal.aborted) return;
    try {
      if (keygroup === this.#own.box) this.#mailbox.heard(value);
      else if (keygroup === this.#own.members) this.directory.memberHeard(value);
      else this.directory.arrived(keygroup, id, value);
    } catch (error) {
      // While the disk fails nothing can be looked up; a scan finds the item afterwards.
      this.#environment.logger.debug('item_not_taken', { why: failureText(error) });
    }
  }

  protected get carried(): Pick<ReplicationStatus, 'transport' | 'outbox'> {
    const { reason } = this.#own;
    return {
      transport: {
        kind: 'fred',
        url: `fred://${this.#client.host}`,
        connected: reason === undefined,
        ...(reason !== undefined && { reason }),
      },
      outbox: this.#publishers.map(({ log, published, uncarried }) => ({
        keygroup: log.keygroup,
        last: this.replica.cursor(log).sequence,
        published,
        uncarried: uncarried.size,
      })),
    };
  }

  protected announce(announcement: Announcement): void {
    this.directory.announce(announcement);
  }

  protected uncarried({ keygroup }: OriginLog): ReadonlySet<number> {
    return this.#publishers.find(({ log }) => log.keygroup === keygroup)?.uncarried ?? NONE;
  }

  protected wake(): void {
    for (const publisher of this.#publishers) publisher.wake();
  }

  protected async end(): Promise<void> {
    this.#end.abort();
    this.acks.close();
    this.#mailbox.close();
    await Promise.all([this.#running, this.directory.close()]);
    await this.gapFills.close();
    this.#client.close();
    await this.#options.triggers.close();
    await this.replica.close();
  }

  async #joined(fredNode: string): Promise<void> {
    await this.directory.joined(fredNode);
    for (const publisher of this.#publishers) publisher.joined();
  }

  #answer(data: Uint8Array): Promise<Uint8Array | undefined> {
    const parts = { ...this.requestParts, onCheck: () => this.#own.checkNow() };
    return answerTo(parts, data, { answerBytesMax: ANSWER_BYTES_MAX });
  }
}

/** FReD's triggers dial this: where the node listens, on this machine where it listens everywhere. */
function triggerHostOf({ triggerHost, triggerListen, triggers }: FredReplicaParts): string {
  if (triggerHost !== undefined) return triggerHost.replace(/:0$/, `:${triggers.port}`);
  return triggerListen.replace(/:\d+$/, `:${triggers.port}`);
}
