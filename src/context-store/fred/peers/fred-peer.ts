import type { KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { Environment } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import { failureText } from '../../replication/failure-text.ts';
import { describedNode } from '../../replication/peers/described-node.ts';
import { PeerCalls, type PeerChannel } from '../../replication/peers/peer-calls.ts';
import {
  accepted,
  connectionLost,
  looksTheSame,
  nodeOf,
  notConnectedYet,
  type PeerLinkState,
  reasonOf,
  refused,
  unanswered,
} from '../../replication/peers/peer-link-state.ts';
import {
  encodeMessage,
  type FredPlace,
  type Hello,
  type HelloReply,
  type Member,
  type NodeAnnouncement,
} from '../../replication/peers/peer-protocol.ts';
import { upgradeReason, whyRefused } from '../../replication/peers/peer-refusal.ts';
import { PeerStateLog } from '../../replication/peers/peer-state-log.ts';
import type { PeerHolders } from '../../replication/publish/peer-holders.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import type { Holder } from '../../replication/pull/back-fill.ts';
import { CatchUp, type CatchUpOptions } from '../../replication/pull/catch-up.ts';
import type { PeerState, PeerStatus } from '../../replication-status.ts';
import { endOfMany } from '../end-of-many.ts';
import { PeerIntakes } from '../take/peer-intakes.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { FredFailure } from '../wire/fred-failure.ts';
import type { Box, Mailbox } from './mailbox.ts';

/** Between two greetings while all is well: they carry membership, load and what each holds, 1 kB together. */
const HELLO_EVERY_MS = 300_000;
const HELLO_AGAIN_FIRST_MS = 500;
const HELLO_AGAIN_MAX_MS = 15_000;
/** While another node cannot be reached and this peer may hear of its records first. */
const CATCH_UP_FIRST_MS = 5_000;
/** A refused node may have been set right. */
const REFUSED_AGAIN_MS = 60_000;

export interface FredPeerOptions extends CatchUpOptions {
  readonly nodeId: NodeId;
  readonly place: FredPlace;
  /** Of its FReD node; closed with the peer. */
  readonly client: FredClient;
  readonly ownClient: FredClient;
  readonly mailbox: Mailbox;
  readonly applier: Applier;
  /** Name of a keygroup in FReD. */
  readonly recordsOf: (keygroup: KeygroupId) => string;
  readonly describe: () => NodeAnnouncement;
  /** The peer as it was accepted before this process started. */
  readonly known: NodeAnnouncement | undefined;
  readonly holders: PeerHolders;
  readonly onAccepted: () => void;
  readonly onMembers: (members: readonly Member[]) => void;
  readonly onChange: () => void;
  readonly areOthersConnected: () => boolean;
  readonly otherHolders: () => Holder[];
}

/** Everything between this node and one peer. */
export class FredPeer {
  readonly nodeId: NodeId;
  readonly place: FredPlace;
  readonly calls: PeerCalls;
  readonly box: Box;
  readonly #options: FredPeerOptions;
  readonly #environment: Environment;
  readonly #channel: PeerChannel;
  readonly #intakes: PeerIntakes;
  readonly #catchUp: CatchUp;
  readonly #helloBell: Bell;
  readonly #stateLog: PeerStateLog;
  readonly #end = endOfMany();
  #running: Promise<void> = Promise.resolve();
  #state: PeerLinkState;
  #seenAtMs: number | undefined;
  #charactersIn = 0;
  #charactersOut = 0;

  constructor(options: FredPeerOptions, environment: Environment) {
    const { nodeId, place, client, known, mailbox } = options;
    this.#options = options;
    this.#environment = environment;
    this.nodeId = nodeId;
    this.place = place;
    this.#state = notConnectedYet(known);
    this.#helloBell = new Bell(environment.clock);
    this.#stateLog = new PeerStateLog(nodeId, environment.logger);
    this.box = {
      nodeId,
      client,
      keygroup: place.box,
      onSent: (characters) => {
        this.#charactersOut += characters;
      },
    };
    const channel = mailbox.channel(this.box);
    this.#channel = {
      ...channel,
      request: async (data, waitMs) => {
        const answer = await channel.request(data, waitMs);
        this.#charactersIn += answer.length;
        return answer;
      },
    };
    this.calls = new PeerCalls(nodeId, environment.clock);
    this.calls.use(this.#channel);
    this.#catchUp = new CatchUp(options, { holder: this.calls, logger: environment.logger });
    this.#intakes = new PeerIntakes(
      {
        ...options,
        origin: this.calls,
        onRead: (characters) => {
          this.#charactersIn += characters;
        },
      },
      environment,
    );
  }

  get state(): PeerState {
    return this.#state.kind;
  }

  /** The peer as it last described itself, and was accepted. */
  get node(): NodeAnnouncement | undefined {
    return nodeOf(this.#state);
  }

  start(): void {
    if (this.node !== undefined) this.#intakes.follow(this.node);
    this.#running = this.#keepGreeting(this.#end.signal);
  }

  async close(): Promise<void> {
    this.#end.abort();
    await Promise.all([this.#running, this.#intakes.close()]);
    this.#options.client.close();
  }

  /** An item of a keygroup has been told of; returns whether it is of a log of this peer. */
  arrived(keygroup: string, id: string, value: string): boolean {
    return this.#intakes.arrived(keygroup, id, value);
  }

  /** Greet again now. */
  lookAgain(): void {
    this.#helloBell.ring();
  }

  /** What triggers have not told of. */
  scan(): void {
    this.#intakes.look();
  }

  /** The peer waits until this node has the record. */
  want(keygroup: KeygroupId, sequence: number): void {
    this.#intakes.want(keygroup, sequence);
  }

  announce(message: Parameters<typeof encodeMessage>[0]): void {
    this.#options.mailbox.announce(this.box, encodeMessage(message));
  }

  /** Whether a peer that was there still is. */
  async probe(waitMs: number): Promise<void> {
    if (this.#state.kind !== 'connected') return;
    const { instance } = this.#state.node;
    if (await this.calls.answersAs(instance, waitMs)) return this.#note();
    if (this.#state.kind !== 'connected' || this.#state.node.instance !== instance) return;
    this.#become(unanswered(this.#state, `no answer within ${waitMs / 1000} s`));
    this.lookAgain();
  }

  status(): PeerStatus {
    const { node, nodeId } = this;
    const { applier } = this.#options;
    const needsRecordVersion = applier.held.versionNeededFor(nodeId);
    return {
      nodeId,
      url: `fred://${this.place.host}`,
      state: this.state,
      reason:
        reasonOf(this.#state) ?? (needsRecordVersion === undefined ? undefined : upgradeReason(needsRecordVersion)),
      needsRecordVersion,
      lastSeenMs: this.#seenAtMs,
      clock: this.calls.clock,
      node: node && describedNode(node),
      logs: this.#intakes.status,
      refusedRecords: applier.refusedBy(nodeId),
      bytesIn: this.#charactersIn,
      bytesOut: this.#charactersOut,
    };
  }

  async #keepGreeting(signal: AbortSignal): Promise<void> {
    const silence = new BackOff({ firstMs: HELLO_AGAIN_FIRST_MS, maxMs: HELLO_AGAIN_MAX_MS });
    const catchUp = new BackOff({ firstMs: CATCH_UP_FIRST_MS, maxMs: HELLO_EVERY_MS });
    while (!signal.aborted) {
      let waitMs: number;
      try {
        const hello = this.#hello();
        const reply = await abortable(this.calls.hello(hello), signal);
        silence.reset();
        const { signers } = this.#options.applier;
        const refusal = whyRefused(reply, { expected: this.nodeId, own: hello.node, signers });
        if (refusal === undefined) {
          this.#accept(reply);
          await this.#catchUp.run(reply, signal);
          waitMs = this.#options.areOthersConnected() ? HELLO_EVERY_MS : catchUp.next();
          if (waitMs === HELLO_EVERY_MS) catchUp.reset();
        } else {
          await this.#intakes.forget();
          this.#become(refused(refusal));
          waitMs = REFUSED_AGAIN_MS;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#become(this.#unreached(error));
        waitMs = silence.next();
      }
      await this.#helloBell.wait(signal, waitMs);
    }
  }

  #accept({ node, logs, logsLeftOut = 0, members }: HelloReply): void {
    this.#note();
    // How long its answers take is measured anew.
    if (this.#state.kind !== 'connected') this.calls.use(this.#channel);
    this.#intakes.follow(node);
    this.#intakes.noteLogs(logs);
    this.#options.holders.noteLogs(node, logs);
    if (logsLeftOut > 0 && this.#state.kind !== 'connected') this.#stateLog.noteLogsLeftOut(logsLeftOut);
    this.#become(accepted(node));
    this.#options.onMembers(members);
    this.#options.onAccepted();
  }

  #unreached(error: unknown): PeerLinkState {
    const isAway = error instanceof FredFailure && ['unreachable', 'certificate', 'late'].includes(error.kind);
    const why = failureText(error);
    if (isAway) return connectionLost(this.#state, why);
    const isBoxFull = error instanceof FredFailure;
    return unanswered(this.#state, isBoxFull ? `its FReD node does not reach ${this.nodeId}: ${why}` : why);
  }

  #note(): void {
    this.#seenAtMs = this.#environment.clock.now();
  }

  #become(state: PeerLinkState): void {
    const before = this.#state;
    this.#state = state;
    if (looksTheSame(before, state)) return;
    this.#stateLog.note(state);
    this.#options.onChange();
  }

  #hello(): Hello {
    return { kind: 'hello', node: this.#options.describe(), cursors: this.#intakes.cursors };
  }
}
