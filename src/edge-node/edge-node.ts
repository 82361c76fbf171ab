import type { AddressInfo } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { PrincipalAccounts } from '../access/principal-accounts.ts';
import type { EdgeNodeConfig } from '../config/config.ts';
import { hostForOthers, originOf } from '../config/listen-address.ts';
import { ContextManager } from '../context-manager/context-manager.ts';
import { keyedStamps, type LayerSource } from '../context-manager/layers/layer.ts';
import { ModelDirectory, type ServedModel } from '../context-manager/model-directory.ts';
import { NodeResources } from '../context-manager/node-resources.ts';
import type { SharedContexts } from '../context-store/context-store.ts';
import type { ReplicationStatus } from '../context-store/replication-status.ts';
import { keygroupOf } from '../domain/cluster/model-identity.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { KeygroupId, UserId } from '../domain/identifiers.ts';
import { isLoopbackHost } from '../domain/loopback.ts';
import type { ContextMode } from '../domain/record/turn-record.ts';
import type { KeptTime, NodeTime } from '../domain/time/node-time.ts';
import type { NodeEnvironment } from '../environment/node-environment.ts';
import { nodeEnvironment } from '../environment/node-environment.ts';
import { createApp } from '../http/app.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import type { LlmDescription } from '../llm-service/llm-service.ts';
import { openAccess } from './access/open-access.ts';
import { shareKeys } from './access/share-keys.ts';
import { Closing } from './closing.ts';
import { keepMovement, type MovementByKeygroup, readMovement } from './kept-movement.ts';
import { forgetGoneSessions, forgetStateOf, forgetStatesOf } from './kept-state/forget-states.ts';
import { removeOtherStates } from './kept-state/kv-budget.ts';
import { clearPlainState } from './kept-state/plain-state.ts';
import { openLayers } from './layers/open-layers.ts';
import { exposeEngines } from './metrics/engine-metrics.ts';
import { exposeReplication } from './metrics/replication-metrics.ts';
import { exposeStore } from './metrics/store-metrics.ts';
import { exposeWarming } from './metrics/warming-metrics.ts';
import type { StartOptions } from './models/start-llm-service.ts';
import { type StartedModel, startModels, type UnservedModel } from './models/start-models.ts';
import { openEmbedder } from './open-embedder.ts';
import { openHttps } from './open-https.ts';
import { openSealedIds } from './open-sealed-ids.ts';
import { openContextStore } from './stores/open-context-store.ts';
import { sweepExpired } from './sweep-expired.ts';
import { keepTime } from './time/keep-time.ts';
import { readKeptTime, writeKeptTime } from './time/kept-time.ts';
import { nodeTimeOver, timedEnvironment } from './time/timed-environment.ts';
import { VERSION } from './version.ts';

export interface EdgeNode {
  readonly address: { readonly host: string; readonly port: number; readonly url: string };
  readonly description: EdgeNodeDescription;
  /** Refuses new turns, lets running ones finish for a while, then closes everything in reverse order. Idempotent. */
  close(): Promise<void>;
}

export interface EdgeNodeDescription {
  readonly nodeId: string;
  /** The default one first. */
  readonly models: readonly ModelDescription[];
  readonly unservedModels: readonly UnservedModel[];
  readonly storeName: string;
  /** At its start: keys may come later. */
  readonly asksWhoCalls: boolean;
  /** What the node shares its contexts through; `undefined` when it shares none. */
  readonly replication: Pick<ReplicationStatus, 'cluster' | 'transport'> | undefined;
}

export interface ModelDescription {
  readonly llm: LlmDescription;
  /** For people: which LLM Service, and where. */
  readonly llmName: string;
  readonly keygroup: KeygroupId;
  readonly mode: ContextMode;
  /** Turns that it takes at once. */
  readonly parallel: number;
  readonly template: Pick<ChatTemplate, 'classes' | 'whyUnusable'>;
}

/** How long running turns may go on when the node is asked to stop; orchestrators commonly kill after 10 s. */
const CLOSE_GRACE_MS = 8_000;

/**
 * The composition root: makes the parts an edge node consists of, in the order they stand on each other, and serves
 * HTTP. Throws DiscedgeError with a start code (`config_invalid`, `model_unusable`, `data_dir_in_use`, `port_in_use`, …),
 * and then leaves nothing open.
 */
export async function startEdgeNode(config: EdgeNodeConfig, options: StartOptions = {}): Promise<EdgeNode> {
  const machine = nodeEnvironment({ logLevel: config.logLevel, nodeId: config.nodeId });
  const { shares: isShared, keepsFiles } = config.store;
  const kept = keepsFiles ? await readKeptTime(config.dataDir) : undefined;
  const time = nodeTimeOver(machine.clock, { ...config, kept, isShared });
  const environment = timedEnvironment(machine, time);
  const closing = new Closing(environment);
  try {
    return await assemble(config, options, { environment, time }, closing);
  } catch (error) {
    await closing.run();
    throw error;
  }
}

async function assemble(
  config: EdgeNodeConfig,
  options: StartOptions,
  { environment, time }: { readonly environment: NodeEnvironment; readonly time: NodeTime },
  closing: Closing,
): Promise<EdgeNode> {
  const asked = await openAccess(config, environment);
  closing.later('access', asked.close);
  const https = await openHttps(config, environment);
  closing.later('HTTPS certificate', () => https?.close());
  const opened = await openContextStore(config, environment, options.stores);
  closing.later('context store', () => opened.close());

  if (config.kvDir !== undefined) await clearPlainState(config.kvDir, environment);
  const keptIn: string[] = [];
  const starting = { ...options, onStateKept: (folder: string) => void keptIn.push(folder) };
  const { served, unserved } = await startModels(config, { environment, options: starting, closing });
  if (config.kvDir !== undefined) await removeOtherStates(config.kvDir, keptIn, environment.logger);
  exposeEngines(served, environment.metrics);
  const keygroups = served.map(({ name, llm }) => ({ name, keygroup: keygroupOf(llm.description.identity) }));

  const told: { httpUrl?: string | undefined; node?: NodeResources } = {};
  const store = await opened.serve({
    models: keygroups,
    httpUrl: () => told.httpUrl,
    load: () => told.node?.turnsInFlight ?? 0,
  });
  exposeStore(store, environment.metrics);
  if (store.sharing !== undefined) exposeReplication(store.sharing, environment.metrics, time);
  const isRestart = (await store.status()).records > 0;
  const nodeOptions = { ...config, incarnation: opened.incarnation };
  const ids = await openSealedIds(config, environment);
  const stampOf = keyedStamps(ids.namingKey);
  const embedder = await openEmbedder(config, environment);
  closing.later('embeddings server', async () => embedder?.close());
  const movementBefore: MovementByKeygroup = config.store.keepsFiles ? await readMovement(config.dataDir) : new Map();
  const forgetting = {
    forgetState: forgetStateOf(served),
    forgetStates: (userId: UserId) => forgetStatesOf(served, userId),
  };
  const parts = { store, environment, time, options: nodeOptions, isRestart, stampOf, movementBefore, embedder };
  const node = new NodeResources({ ...parts, ...forgetting });
  told.node = node;
  forgetGoneSessions(served, node.records, environment);
  if (store.sharing !== undefined) closing.later('keys of the cluster', await shareKeys(asked, node));
  await node.erasures.resume();
  await node.userLifetimes.start();
  const keep = config.store.keepsFiles ? (kept: KeptTime) => writeKeptTime(config.dataDir, kept) : undefined;
  closing.later('time', keepTime({ time, sharing: store.sharing, keep }, environment));
  closing.later('expiry sweep', sweepExpired(node.records, environment, config.expireEveryMs));
  const layersOf = await openLayers(config, served, { node, stampOf, closing });
  const models = new ModelDirectory(
    served.map((started) => servedModel(started, node, layersOf(started))),
    unserved.map(({ model }) => model),
  );
  exposeWarming(models.all, environment.metrics);
  const movement = { before: movementBefore, learned: () => movementOf(models.all) };
  if (config.store.keepsFiles) closing.later('movement', keepMovement(config.dataDir, movement, environment));
  const app = await createApp({
    models,
    node,
    ids,
    access: asked.access,
    audit: asked.audit,
    accounts: new PrincipalAccounts(config.access.limits, environment.clock),
    metricsText: async () => ({
      text: await environment.registry.metrics(),
      contentType: environment.registry.contentType,
    }),
    tls: https?.certificate,
    options: {
      ...config,
      version: VERSION,
      storeName: config.store.name,
      defaultConsistency: config.consistency,
      defaultWriteConcern: config.writeConcern,
      defaultOverflow: config.overflow,
    },
  });
  closing.later('HTTP', () => app.close());
  closing.later('turns', () => node.close(CLOSE_GRACE_MS));

  const { host, port } = config.listen;
  await app.listen({ host, port }).catch((error: NodeJS.ErrnoException) => {
    throw listenError(error, host, port);
  });
  https?.follow(app.server as unknown as TlsServer);
  const { port: boundPort } = app.server.address() as AddressInfo;
  const scheme = https === undefined ? 'http' : 'https';
  // An API on loopback is nothing to nodes on other machines.
  const isTold = !isLoopbackHost(config.listen.host) || config.replication?.certificates === undefined;
  const ownUrl = isTold ? originOf({ host: hostForOthers(config.listen), port: boundPort }, scheme) : undefined;
  told.httpUrl = config.advertisedUrl ?? ownUrl;
  opened.tellAgain?.();
  return {
    address: { host, port: boundPort, url: originOf({ host, port: boundPort }, scheme) },
    description: {
      nodeId: config.nodeId,
      models: served.map(describeModel),
      unservedModels: unserved,
      storeName: config.store.name,
      asksWhoCalls: asked.access.asks,
      replication: store.sharing && replicationOf(store.sharing),
    },
    close: () => closing.run(),
  };
}

function movementOf(models: readonly ServedModel[]): MovementByKeygroup {
  return new Map(
    models.flatMap(({ keygroup, contextManager }) => {
      const learned = contextManager.warmer?.learned();
      return learned === undefined ? [] : [[keygroup, learned] as const];
    }),
  );
}

function servedModel(
  { config, name, llm, template }: StartedModel,
  node: NodeResources,
  layers: LayerSource,
): ServedModel {
  const { mode: defaultMode } = config;
  const contextManager = new ContextManager({ llm, template, node, defaultMode, layers });
  return { name, llm, template, keygroup: contextManager.keygroup, contextManager };
}

function describeModel({ config, llm, serviceName, template }: StartedModel): ModelDescription {
  return {
    llm: llm.description,
    llmName: serviceName,
    keygroup: keygroupOf(llm.description.identity),
    mode: config.mode,
    parallel: llm.slots().length,
    template,
  };
}

function replicationOf(sharing: SharedContexts): EdgeNodeDescription['replication'] {
  const { cluster, transport } = sharing.status();
  return { cluster, transport };
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): DiscedgeError {
  const advice: Record<string, string> = {
    EADDRINUSE: 'another process listens there; stop it or choose another --listen HOST:PORT',
    EACCES: 'this user may not listen there; choose a port above 1023',
    EADDRNOTAVAIL: 'this machine has no such address',
  };
  return new DiscedgeError(
    'port_in_use',
    `cannot listen on ${host}:${port}: ${advice[error.code ?? ''] ?? error.message}`,
    { cause: error },
  );
}
