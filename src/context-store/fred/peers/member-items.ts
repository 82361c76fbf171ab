import type { NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { pause } from '../../../waiting/pause.ts';
import { repeatUntil } from '../../../waiting/repeat.ts';
import { failureText } from '../../replication/failure-text.ts';
import { type FredPlace, NODES_MAX } from '../../replication/peers/peer-protocol.ts';
import { endOfMany } from '../end-of-many.ts';
import { itemId, MEMBERS_ROOT, MEMBERS_ROOT_VALUE, nodeCode, startCode } from '../names.ts';
import { MEMBER_EXPIRY_SECONDS } from '../own/own-fred-node.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { decodeMember, encodeMember, type MemberItem } from './members.ts';

/** Whoever waits for that longer has given up. */
const STRANGERS_WAIT_MS = 2_000;
/** Earlier starts counted. */
const MEMBER_ITEMS_MAX = 1_000;
/** A member says that it is there in half the time in which that expires. */
const TELL_EVERY_MS = (MEMBER_EXPIRY_SECONDS * 1000) / 2;

export interface MemberItemsOptions {
  readonly nodeId: NodeId;
  /** Of this node's own FReD node. */
  readonly ownClient: FredClient;
  readonly clientFor: (host: string) => FredClient;
  /** The members' keygroup. */
  readonly members: string;
  readonly ownBox: string;
  /** Those of the nodes that are known. */
  readonly fredNodes: () => readonly string[];
  /** A node says where it is. */
  readonly onPlaced: (nodeId: NodeId, place: FredPlace) => Promise<void>;
}

/** What nodes write of themselves in FReD: this one's said and said again, the others' read. */
export class MemberItems {
  readonly #options: MemberItemsOptions;
  readonly #environment: Environment;
  readonly #toldAtMs = new Map<NodeId, number>();
  readonly #placing = new Map<NodeId, Promise<void>>();
  /** FReD nodes whose edge nodes are not known. */
  readonly #strangers = new Map<string, FredClient>();
  /** Hosts of those that are being asked. */
  readonly #asked = new Map<string, Promise<unknown>>();
  readonly #start: string;
  readonly #end = endOfMany();
  #looking: Promise<void> | undefined;
  #told = 0;
  #fredNode: string | undefined;

  constructor(options: MemberItemsOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#start = startCode(environment.random.bytes(4));
  }

  /** Ends what is under way. */
  close(): void {
    this.#end.abort();
    for (const client of this.#strangers.values()) client.close();
  }

  /** This node's own FReD node is in place, under this name. Throws `FredFailure`. */
  async joined(fredNode: string): Promise<void> {
    this.#fredNode = fredNode;
    await this.#tell();
    await this.#scan();
  }

  /** FReD tells of an item. */
  heard(value: string): void {
    const item = decodeMember(value);
    if (item !== undefined) void this.#place(item);
  }

  forget(nodeId: NodeId): void {
    this.#toldAtMs.delete(nodeId);
  }

  /** Looks for what was not told of; never rejects. Whoever looks meanwhile looks at the same answer. */
  look(): Promise<void> {
    this.#looking ??= this.#scan()
      .catch((error) => this.#environment.logger.debug('members_not_read', { why: failureText(error) }))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  /** As {@link look}, and waits a while for what FReD nodes of unknown nodes say. */
  async lookEverywhere(): Promise<void> {
    await this.look();
    const done = new AbortController();
    const late = pause(this.#environment.clock, STRANGERS_WAIT_MS, done.signal);
    await Promise.race([Promise.all(this.#asked.values()), late]);
    done.abort();
  }

  /** Until `signal` aborts; never rejects. */
  keepTelling(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#environment;
    return repeatUntil(signal, { clock, everyMs: TELL_EVERY_MS }, async () => {
      if (this.#fredNode === undefined) return;
      await this.#tell().catch((error) => logger.debug('member_not_told', { why: failureText(error) }));
    });
  }

  async #scan(): Promise<void> {
    const { ownClient, members, fredNodes } = this.#options;
    const { signal } = this.#end;
    const { replicas } = await ownClient.keygroup(members, { signal });
    const known = new Set([this.#fredNode, ...fredNodes()]);
    // What a FReD node was told while it was away never comes to it by itself: those of nodes unknown here are asked, too.
    const unknown = replicas.filter(({ nodeId }) => !known.has(nodeId)).slice(0, NODES_MAX);
    for (const { host } of unknown) this.#askStranger(host);
    await this.#placeAllAt(ownClient);
  }

  /** Not waited for: one that has gone for good stays on FReD's list, and may answer nothing. */
  #askStranger(host: string): void {
    if (this.#asked.has(host)) return;
    const asked = this.#placeAllAt(this.#clientAt(host))
      .catch((error) => this.#environment.logger.debug('members_not_read', { host, why: failureText(error) }))
      .finally(() => this.#asked.delete(host));
    this.#asked.set(host, asked);
  }

  async #placeAllAt(client: FredClient): Promise<void> {
    const range = { keygroup: this.#options.members, id: MEMBERS_ROOT, count: MEMBER_ITEMS_MAX };
    const items = await client.scan(range, { signal: this.#end.signal });
    await Promise.all(items.flatMap(({ value }) => decodeMember(value) ?? []).map((item) => this.#place(item)));
  }

  #clientAt(host: string): FredClient {
    const client = this.#strangers.get(host) ?? this.#options.clientFor(host);
    this.#strangers.set(host, client);
    return client;
  }

  /** Where its FReD node is reached, FReD knows. */
  async #place(item: MemberItem): Promise<void> {
    const { nodeId, atMs } = item;
    if (nodeId === this.#options.nodeId) return;
    // Whoever finds it again meanwhile waits, too.
    if (atMs <= (this.#toldAtMs.get(nodeId) ?? 0)) return this.#placing.get(nodeId);
    this.#toldAtMs.set(nodeId, atMs);
    const placing = this.#placeAnew(item).finally(() => {
      if (this.#placing.get(nodeId) === placing) this.#placing.delete(nodeId);
    });
    this.#placing.set(nodeId, placing);
    return placing;
  }

  async #placeAnew({ nodeId, fredNode, box }: MemberItem): Promise<void> {
    const { ownClient, members, onPlaced } = this.#options;
    try {
      const { replicas } = await ownClient.keygroup(members, { signal: this.#end.signal });
      const host = replicas.find((replica) => replica.nodeId === fredNode)?.host;
      if (host === undefined) throw new Error(`FReD does not know of ${fredNode}`);
      await onPlaced(nodeId, { node: fredNode, host, box });
    } catch (error) {
      this.#toldAtMs.delete(nodeId);
      this.#environment.logger.debug('member_not_placed', { peer: nodeId, why: failureText(error) });
    }
  }

  /** The item where scans begin is renewed. The rest is under an id that is new each time: of one that is written again after a wipe the new value is dropped without a sign. */
  async #tell(): Promise<void> {
    const { ownClient, members, nodeId, ownBox } = this.#options;
    const { signal } = this.#end;
    // Without it the keygroup counts as lost.
    await ownClient.update({ keygroup: members, id: MEMBERS_ROOT, value: MEMBERS_ROOT_VALUE }, { signal });
    const id = itemId({ nodeCode: nodeCode(nodeId), start: this.#start, number: ++this.#told });
    const item = { nodeId, fredNode: this.#fredNode as string, box: ownBox, atMs: this.#environment.clock.now() };
    await ownClient.update({ keygroup: members, id, value: encodeMember(item) }, { signal });
  }
}
