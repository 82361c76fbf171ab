import type { Transport } from '../transport.ts';
import { type ListedNode, nodeDirectoryOf } from './node-directory.ts';
import { type NodeRing, normalizeNodeUrl } from './node-ring.ts';

/** Degrees, north and east positive. */
export interface Coordinates {
  readonly latitude: number;
  readonly longitude: number;
}

export interface FindOptions {
  /** What nearest means: who answers soonest, which asks every node, or who says that it stands nearest to this place. */
  readonly by?: 'latency' | Coordinates | undefined;
  /**
   * Whether to take in nodes that a known one lists: what is sent to a node, headers included, is sent to those then. True when
   * left out.
   */
  readonly learn?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FoundNode {
  readonly url: string;
  /** Id of a node that was listed. */
  readonly nodeId: string | undefined;
  /** Milliseconds that it took to answer; `undefined` where it was not measured, or cannot take turns. */
  readonly latencyMs: number | undefined;
  /** `undefined` where it does not say where it is, or nobody asked. */
  readonly distanceKm: number | undefined;
}

/** Nodes learned: as many as a client can well ask at once. */
const LEARNED_MAX = 64;
/** The first answer brings a connection with it, the second one tells. */
const PROBES = 2;
/** Who takes longer is not near. */
const PROBE_WAIT_MS = 2_000;
const EARTH_RADIUS_KM = 6371;

export interface Finding {
  readonly transport: Transport;
  readonly ring: NodeRing;
  /** Only nodes that serve it; any when left out. */
  readonly model: string | undefined;
}

/**
 * Puts the nearest node first, in a ring of those that are known and, where asked for, learned. Who cannot be compared comes
 * last, in the order it was known in. Throws what asking for `/nodes` throws, and the signal's reason.
 */
export async function findNodes(
  { transport, ring, model }: Finding,
  { by = 'latency', learn = true, signal }: FindOptions,
): Promise<readonly FoundNode[]> {
  const needsList = learn || by !== 'latency';
  const wire = needsList ? await transport.json(ring, { method: 'GET', path: '/nodes', signal }) : undefined;
  const asked = ring.current;
  const listed = new Map<string, ListedNode>();
  for (const node of wire === undefined ? [] : nodeDirectoryOf(wire).nodes) {
    const url = node.state === 'self' ? asked : reachableUrl(node, { asked, model });
    if (url !== undefined && listed.size < LEARNED_MAX) listed.set(url, node);
  }
  const urls = [...new Set([...ring.urls, ...(learn ? listed.keys() : [])])];
  const found = await Promise.all(
    urls.map(async (url): Promise<FoundNode> => {
      const node = listed.get(url);
      return {
        url,
        nodeId: node?.nodeId,
        latencyMs: by === 'latency' ? await latencyOf(url, transport, signal) : undefined,
        distanceKm: by === 'latency' || node?.location === undefined ? undefined : distanceKm(by, node.location),
      };
    }),
  );
  signal?.throwIfAborted();
  const far = ({ latencyMs, distanceKm }: FoundNode) => latencyMs ?? distanceKm ?? Number.POSITIVE_INFINITY;
  const sorted = found.toSorted((a, b) => (far(a) === far(b) ? 0 : far(a) - far(b)));
  ring.arrange(sorted.map(({ url }) => url));
  return sorted;
}

/** `undefined` of a node that is not to be used: it is not there, has another model, or is to be reached less safely than the one asked. */
function reachableUrl(
  { state, url, models }: ListedNode,
  { asked, model }: { readonly asked: string; readonly model: string | undefined },
): string | undefined {
  if (state !== 'connected' || url === undefined || !URL.canParse(url)) return undefined;
  if (model !== undefined && models.length > 0 && !models.includes(model)) return undefined;
  const { protocol } = new URL(url);
  if (protocol !== 'https:' && (protocol !== 'http:' || asked.startsWith('https:'))) return undefined;
  return normalizeNodeUrl(url);
}

async function latencyOf(url: string, transport: Transport, signal: AbortSignal | undefined) {
  const probing = transport.impatient(PROBE_WAIT_MS);
  let least: number | undefined;
  for (let probe = 0; probe < PROBES; probe++) {
    const startedMs = performance.now();
    try {
      await probing.sendForJson(url, { method: 'GET', path: '/ready', signal });
    } catch {
      return undefined;
    }
    least = Math.min(least ?? Number.POSITIVE_INFINITY, performance.now() - startedMs);
  }
  return least;
}

/** Along the surface. */
function distanceKm(a: Coordinates, b: Coordinates): number {
  const radians = (degrees: number) => (degrees * Math.PI) / 180;
  const half = (from: number, to: number) => Math.sin((to - from) / 2) ** 2;
  const [latitudeA, latitudeB] = [radians(a.latitude), radians(b.latitude)];
  const chord =
    half(latitudeA, latitudeB) +
    Math.cos(latitudeA) * Math.cos(latitudeB) * half(radians(a.longitude), radians(b.longitude));
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(chord)));
}
