import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../tools/free-port.ts';
import { type RunningProcess, startProcess } from '../../tools/processes.ts';

const CLI_PATH = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** Loading the demo model takes a second, on a machine whose cores others keep busy a minute and more. */
const START_WAIT_MS = 300_000;

export interface Place {
  readonly name: string;
  readonly location: string;
}

/** One edge node with a nats-server of its own, as `discedge serve --store nats` starts it; can die and come back. */
export class DemoNode {
  readonly name: string;
  readonly #place: Place;
  readonly #ports: { readonly http: number; readonly nats: number };
  readonly #folder: string;
  readonly #natsProgram: string;
  #process: RunningProcess | undefined;

  static async at(place: Place, { folder, natsProgram }: { folder: string; natsProgram: string }): Promise<DemoNode> {
    return new DemoNode(place, { http: await freePort(), nats: await freePort() }, folder, natsProgram);
  }

  private constructor(place: Place, ports: { http: number; nats: number }, folder: string, natsProgram: string) {
    this.name = place.name;
    this.#place = place;
    this.#ports = ports;
    this.#folder = folder;
    this.#natsProgram = natsProgram;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#ports.http}`;
  }

  /** As other nodes are told of it. */
  get peer(): string {
    return `${this.name}=127.0.0.1:${this.#ports.nats}`;
  }

  /** `peer`: one node that it knows beforehand; it learns of the others from that one. */
  async start(peer: DemoNode | undefined): Promise<void> {
    this.#process = await startProcess({
      name: `edge node ${this.name}`,
      command: process.execPath,
      args: [
        CLI_PATH,
        ...['serve', '--node-id', this.name, '--location', this.#place.location, '--log-level', 'error'],
        ...['--listen', `127.0.0.1:${this.#ports.http}`, '--data-dir', join(this.#folder, this.name)],
        ...['--store', 'nats', '--nats-program', this.#natsProgram, '--nats-listen', `127.0.0.1:${this.#ports.nats}`],
        ...(peer === undefined ? [] : ['--peers', peer.peer]),
        ...['--threads', '1', '--parallel', '1'],
      ],
    });
    await this.#process.waitForLine(/^ *API /, { waitMs: START_WAIT_MS });
  }

  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#process?.exited;
    this.#process = undefined;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** Bytes of messages that it has received from its peers' servers; 0 when it is not there. */
  async bytesReceived(): Promise<number> {
    return (await this.#peers()).reduce((sum, peer) => sum + (peer.bytes_in ?? 0), 0);
  }

  async isConnectedTo(names: readonly string[]): Promise<boolean> {
    const peers = await this.#peers();
    return names.every((name) =>
      peers.some(({ node, state, lag }) => node === name && state === 'connected' && lag === 0),
    );
  }

  /** As last heard: to ask them would send bytes of its own. */
  async #peers(): Promise<Array<{ node: string; state: string; lag?: number; bytes_in?: number }>> {
    const response = await fetch(`${this.url}/nodes?probe=false`).catch(() => undefined);
    return response?.ok ? ((await response.json()) as { nodes: never[] }).nodes : [];
  }
}
