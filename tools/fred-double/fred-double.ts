import { join } from 'node:path';
import { readFredTls } from '../../src/context-store/fred/wire/fred-tls.ts';
import { freePort } from '../free-port.ts';
import { FredNode } from './fred-node.ts';
import type { NamingService } from './naming-service.ts';
import { NodeServer } from './node-server.ts';
import { NodeFolder } from './node-store.ts';

export interface FredDoubleOptions {
  readonly nodeId: string;
  readonly naming: NamingService;
  /** As `discedge certs fred node` makes it. */
  readonly certificates: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Whether the writer does not wait for the peers (`--peer-async-replication`); default true. */
  readonly isAsync?: boolean;
}

const LOOPBACK = '127.0.0.1';

/**
 * A FReD node that is none: it speaks FReD's protocols on real ports with mutual TLS and fails as FReD 0.2.19 was seen to
 * fail. Tests cut, stop, kill and wipe it.
 */
export class FredDouble {
  readonly nodeId: string;
  /** Where clients on its own machine reach it; stays through a cut. */
  readonly host: string;
  /** Where everyone else does, and what it tells of itself. */
  readonly advertisedHost: string;
  /** Where the other FReD nodes do. */
  readonly peerHost: string;
  readonly #options: FredDoubleOptions;
  #folder = new NodeFolder();
  #run: { readonly node: FredNode; readonly server: NodeServer } | undefined;
  #continues = Promise.resolve();
  #goOn = () => {};
  #isCut = false;
  #losesTriggers = false;
  #ended = () => {};
  #hasEnded: Promise<void> = Promise.resolve();

  private constructor(options: FredDoubleOptions, [own, advertised, peers]: readonly [number, number, number]) {
    this.#options = options;
    this.nodeId = options.nodeId;
    this.host = `${LOOPBACK}:${own}`;
    this.advertisedHost = `${LOOPBACK}:${advertised}`;
    this.peerHost = `${LOOPBACK}:${peers}`;
  }

  /** Not started yet. */
  static async make(options: FredDoubleOptions): Promise<FredDouble> {
    return new FredDouble(options, [await freePort(), await freePort(), await freePort()]);
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  /** Resolves when the process ends, by `kill` or because it panics. */
  get hasEnded(): Promise<void> {
    return this.#hasEnded;
  }

  /** Rejects when the process would not come up: the naming service is down, or it missed items and its folder is an old one. */
  async start(): Promise<void> {
    if (this.#run !== undefined) throw new Error(`${this.nodeId} is running`);
    const { naming, certificates, now = Date.now, isAsync = true, nodeId } = this.#options;
    const tls = await readFredTls({
      caFile: join(certificates, 'ca.crt'),
      certFile: join(certificates, 'fred.crt'),
      keyFile: join(certificates, 'fred.key'),
    });
    const self = { nodeId, host: this.advertisedHost, peerHost: this.peerHost };
    const node = new FredNode({ self, naming, folder: this.#folder, tls, now, isAsync });
    await node.recover();
    node.replication.isCut = this.#isCut;
    node.losesTriggers = this.#losesTriggers;
    const server = new NodeServer({
      tls,
      node,
      whileRunning: () => this.#continues,
      onPanic: () => this.kill(),
    });
    await server.listen(this.host);
    if (!this.#isCut) await this.#listenForOthers(server);
    this.#run = { node, server };
    this.#hasEnded = new Promise((resolve) => {
      this.#ended = resolve;
    });
  }

  /** kill -9. What was written is there after the next start, and the first write then ends the process. */
  kill(): void {
    this.resume();
    this.#run?.server.end();
    this.#run?.node.close();
    this.#run = undefined;
    this.#ended();
  }

  /** Deletes its folder. Also what a power failure does: nothing was ever synced. */
  wipe(): void {
    if (this.#run !== undefined) throw new Error(`${this.nodeId} is running`);
    this.#folder = new NodeFolder();
  }

  /** SIGSTOP: whoever calls waits. */
  stop(): void {
    this.#continues = new Promise((resolve) => {
      this.#goOn = resolve;
    });
  }

  /** SIGCONT. */
  resume(): void {
    this.#goOn();
    this.#continues = Promise.resolve();
  }

  /** Nobody on other machines reaches it, and it reaches nobody there. Clients on its own machine do. */
  cut(): void {
    this.#isCut = true;
    if (this.#run === undefined) return;
    this.#run.node.replication.isCut = true;
    this.#run.server.refuse(this.advertisedHost);
    this.#run.server.refuse(this.peerHost);
  }

  /** Peers that were refused wait on before they deliver again: `deliver` ends that. */
  async heal(): Promise<void> {
    this.#isCut = false;
    if (this.#run === undefined) return;
    this.#run.node.replication.isCut = false;
    await this.#listenForOthers(this.#run.server);
  }

  /** Has it try all peers again at once; the real one waits up to as long as they were away. */
  deliver(): void {
    this.#run?.node.replication.reset();
  }

  /** From now on what peers pass on fires no triggers here. */
  loseTriggers(isLosing: boolean): void {
    this.#losesTriggers = isLosing;
    if (this.#run !== undefined) this.#run.node.losesTriggers = isLosing;
  }

  async #listenForOthers(server: NodeServer): Promise<void> {
    await server.listen(this.advertisedHost);
    await server.listen(this.peerHost);
  }
}
