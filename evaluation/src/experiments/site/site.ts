import { join } from 'node:path';
import { makeAuthority, makeNodeCertificate } from 'discedge/internal/certificates/certificates';
import type { ConfigSources } from 'discedge/internal/config/config';
import { parseClusterName, parseNodeId } from 'discedge/internal/domain/identifiers';
import type { Clock } from 'discedge/internal/environment/environment';
import { type Link, PacketNetwork } from '../../network/packet-network.ts';
import { getToKnowAll, type KnownNode } from '../../nodes/known-node.ts';
import { type NodePlace, type NodeProgram, type OwnNodes, startOwnNodes } from '../../nodes/own-nodes.ts';
import type { WrittenTurn } from '../../nodes/transcript-llm.ts';
import type { ExperimentModel } from '../experiment-model.ts';
import type { LinkFacts, NetworkFacts } from '../rows/experiment-rows.ts';
import { bareServer } from './bare-server.ts';
import { type OwnLlamaServer, startOwnLlamaServer, untilHealthy } from './own-llama-server.ts';
import { SyncMeter } from './sync-meter.ts';

export type LlmServiceName = 'embedded' | 'llama-server' | 'transcript';

/** What is started for one play. */
export interface SiteSpec {
  readonly nodes: number;
  /** Whether the nodes share their sessions. */
  readonly replicating: boolean;
  readonly llmService: LlmServiceName;
  /** No edge node at all: clients talk to llama-server. */
  readonly bare: boolean;
  /** Turns at once of an LLM Service. */
  readonly slots: number;
  readonly contextTokens: number;
  /** Whether an LLM Service may keep prefixes that lost their slot. */
  readonly keepsEvicted: boolean;
  /** Settings of the nodes that make this play what it is. */
  readonly flags: NonNullable<ConfigSources['flags']>;
  readonly network: NetworkFacts;
  /** How fast an edge node's tokenizer is at most; `undefined`: as fast as it is. */
  readonly tokenizerIdsPerS?: number | undefined;
  /** For `transcript`. */
  readonly written: readonly WrittenTurn[];
}

/** What all plays of a run have in common. */
export interface SiteContext {
  readonly model: ExperimentModel;
  readonly llamaServer: string;
  readonly threads: number;
  readonly settings: ConfigSources;
  /** The compiled packet switch; `undefined`: everything is on loopback. */
  readonly packetSwitch: string | undefined;
  readonly seed: number;
  /** Of the run, deleted with it. */
  readonly folder: string;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/** Edge nodes, or a bare llama-server, that have just been started. */
export interface Site {
  readonly nodes: readonly KnownNode[];
  readonly names: readonly string[];
  readonly meter: SyncMeter;
  /** Stops an edge node and starts it again where it was. */
  restart(index: number): Promise<void>;
  close(): Promise<void>;
}

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `edge-${index + 1}`);
}

/** Starts what a play needs; links are as they are to be before anyone has spoken. Leaves nothing behind when it throws. */
export async function startSite(spec: SiteSpec, context: SiteContext): Promise<Site> {
  const { clock, signal } = context;
  const closing: Array<() => Promise<void>> = [];
  const close = async () => {
    for (const step of closing.splice(0).reverse()) await step();
  };
  try {
    const network = await makeNetwork(spec, context);
    if (network !== undefined) closing.push(() => network.close());
    const enters = nodeNames(spec.nodes).map((_, index) => network?.enter(index + 2) ?? []);
    const servers = await startLlamaServers(spec, context, enters);
    closing.push(...servers.map((server) => () => server.close()));
    const host = (index: number) => network?.address(index + 2) ?? '127.0.0.1';
    const serverUrls = servers.map(({ port }, index) => `http://${host(index)}:${port}`);
    await Promise.all(serverUrls.map((url) => untilHealthy(url, clock, signal)));
    const names = nodeNames(spec.nodes);
    if (spec.bare) {
      const nodes = await Promise.all(serverUrls.map((url) => bareServer(url, context.model)));
      const restart = () => Promise.reject(new Error('a bare llama-server is not started again'));
      return { nodes, names, meter: new SyncMeter([], undefined, clock), restart, close };
    }
    const places = await placesOf({ spec, context, network, enters, serverUrls });
    const own = await startNodes(spec, context, places, 'edge-node-child');
    closing.push(() => own.close());
    const urls = own.nodes.map(({ url }) => url);
    const nodes = await getToKnowAll(urls, clock, signal);
    const restart = (index: number) => own.restart(index);
    return { nodes, names, meter: new SyncMeter(nodes, network, clock), restart, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Replicas without edge nodes around them. */
export interface ReplicaSite extends Omit<Site, 'nodes' | 'restart'> {
  readonly urls: readonly string[];
}

/** Starts replicas alone, as {@link startSite} starts nodes. */
export async function startReplicas(spec: SiteSpec, context: SiteContext): Promise<ReplicaSite> {
  const network = await makeNetwork(spec, context);
  try {
    const names = nodeNames(spec.nodes);
    const enters = names.map((_, index) => network?.enter(index + 2) ?? []);
    const places = await placesOf({ spec, context, network, enters, serverUrls: [] });
    const own = await startNodes(spec, context, places, 'replica-child');
    const urls = own.nodes.map(({ url }) => url);
    const meter = new SyncMeter(
      urls.map((url, index) => ({ url, nodeId: names[index] as string })),
      network,
      context.clock,
    );
    const close = async () => {
      await own.close();
      await network?.close();
    };
    return { urls, names, meter, close };
  } catch (error) {
    await network?.close();
    throw error;
  }
}

async function makeNetwork(
  { network, nodes }: SiteSpec,
  { packetSwitch, seed }: SiteContext,
): Promise<PacketNetwork | undefined> {
  if (network.kind === 'loopback' || packetSwitch === undefined) return undefined;
  const made = await PacketNetwork.make(nodes + 1, { program: packetSwitch, seed });
  for (let end = 2; end <= nodes + 1; end++) {
    await made.setBoth(1, end, linkOf(network.client_link));
    for (let other = end + 1; other <= nodes + 1; other++) await made.setBoth(end, other, linkOf(network.node_link));
  }
  return made;
}

function linkOf({ delay_ms: delayMs, loss, mbit_per_s }: LinkFacts): Link {
  return { delayMs, loss, mbitPerS: mbit_per_s ?? undefined };
}

async function startLlamaServers(
  { llmService, slots, contextTokens, keepsEvicted }: SiteSpec,
  { model, llamaServer: program, threads, clock, signal }: SiteContext,
  enters: readonly (readonly string[])[],
): Promise<OwnLlamaServer[]> {
  if (llmService !== 'llama-server') return [];
  const common = { program, modelPath: model.path, contextTokens, slots, threads, keepsEvicted, clock, signal };
  const started = await Promise.allSettled(enters.map((enter) => startOwnLlamaServer({ ...common, enter })));
  const servers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed === undefined) return servers;
  await Promise.all(servers.map((server) => server.close()));
  throw failed.reason;
}

interface PlacesInput {
  readonly spec: SiteSpec;
  readonly context: SiteContext;
  readonly network: PacketNetwork | undefined;
  readonly enters: readonly (readonly string[])[];
  readonly serverUrls: readonly string[];
}

async function placesOf({ spec, context, network, enters, serverUrls }: PlacesInput): Promise<NodePlace[]> {
  return Promise.all(
    nodeNames(spec.nodes).map(async (name, index): Promise<NodePlace> => {
      const host = network?.address(index + 2) ?? '127.0.0.1';
      const llm = serverUrls[index];
      const certsDir = network && spec.replicating ? await certificatesOf(name, host, context) : undefined;
      const flags = { ...(llm === undefined ? {} : { llm }), ...(certsDir === undefined ? {} : { certsDir }) };
      return { host, enter: enters[index] ?? [], flags };
    }),
  );
}

/** Peers on other machines talk over mutual TLS, as they must. */
async function certificatesOf(name: string, host: string, { folder, clock }: SiteContext): Promise<string> {
  const dir = join(folder, 'certificates');
  const nodeId = parseNodeId(name);
  await makeNodeCertificate({ dir, nodeId, hosts: [host], days: CERTIFICATE_DAYS, force: true }, clock);
  return join(dir, nodeId);
}

const CERTIFICATE_DAYS = 7;

/** Once a run, before its first site with peers on other machines. */
export async function makeCertificateAuthority(folder: string, clock: Clock): Promise<void> {
  const cluster = parseClusterName('discedge');
  await makeAuthority({ dir: join(folder, 'certificates'), cluster, days: CERTIFICATE_DAYS, force: false }, clock);
}

function startNodes(
  spec: SiteSpec,
  context: SiteContext,
  places: readonly NodePlace[],
  program: NodeProgram,
): Promise<OwnNodes> {
  const { model, settings, threads, clock, signal } = context;
  const { llmService, slots: parallel, contextTokens, keepsEvicted, replicating, written } = spec;
  const kept = keepsEvicted ? {} : { kvBudgetBytes: 0 };
  const embedded = llmService === 'embedded' ? { model: model.path, parallel, threads, contextTokens, ...kept } : {};
  const { model: _, llm: __, ...given } = settings.flags ?? {};
  const flags = { ...given, modelName: model.name, ...embedded, ...spec.flags };
  return startOwnNodes({
    names: nodeNames(spec.nodes),
    replicating,
    settings: { ...settings, flags },
    places,
    program,
    llm: {
      tokenizerIdsPerS: spec.tokenizerIdsPerS,
      writtenReplies:
        llmService === 'transcript'
          ? { turns: written, vocabularyPath: model.path, modelName: model.name, contextTokens }
          : undefined,
    },
    clock,
    signal,
  });
}
