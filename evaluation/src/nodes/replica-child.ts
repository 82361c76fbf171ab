import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadConfig } from 'discedge/internal/config/config';
import type { ContextStore, SharedContexts } from 'discedge/internal/context-store/context-store';
import { keygroupOf } from 'discedge/internal/domain/cluster/model-identity';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { sealRecord } from 'discedge/internal/domain/record/record-codec';
import { openContextStore } from 'discedge/internal/edge-node/stores/open-context-store';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { type ChildNode, type ChildOrder, serveAsChild } from './node-child.ts';
import { type RecordForm, SessionRecords } from './session-records.ts';
import { startTranscript } from './transcript-llm.ts';

/**
 * The replica of an edge node without its Context Manager, asked over HTTP:
 *   GET /nodes                     as an edge node's, as far as `nodes` with their bytes goes
 *   POST /write?form=F&turn=N      writes the record of the next turn in this form; what it was
 *   GET /arrived?hash=H            answered once the record is here
 */
serveAsChild(async ({ sources, llm: { writtenReplies } }: ChildOrder): Promise<ChildNode> => {
  if (writtenReplies === undefined) throw new DiscedgeError('config_invalid', 'a replica needs written replies');
  const config = loadConfig(sources);
  const environment = nodeEnvironment({ logLevel: config.logLevel, nodeId: config.nodeId });
  const llm = await startTranscript(writtenReplies);
  const opened = await openContextStore(config, environment);
  const keygroup = keygroupOf(llm.description.identity);
  const { name } = llm.description.identity;
  const store = await opened.serve({ models: [{ name, keygroup }], httpUrl: () => undefined, load: () => 0 });
  const { sharing } = store;
  if (sharing === undefined) throw new DiscedgeError('config_invalid', 'a replica needs a store that is shared');
  const arrivals = new Arrivals(store);
  const records = await SessionRecords.of(llm, writtenReplies.turns, {
    ...{ keygroup, origin: config.nodeId, incarnation: opened.incarnation },
    ...{ clock: environment.clock, replyTokens: config.replyTokensDefault },
  });

  const answer = async ({ url = '' }: IncomingMessage): Promise<unknown> => {
    const { pathname, searchParams } = new URL(url, 'http://replica');
    switch (pathname) {
      case '/nodes':
        return nodesOf(config.nodeId, sharing);
      case '/arrived':
        await arrivals.of(searchParams.get('hash') ?? '');
        return {};
      case '/write': {
        const { record, contextTokens } = records.next(searchParams.get('form') as RecordForm);
        const startMs = environment.clock.monotonic();
        const sealed = sealRecord(record);
        await store.append(sealed);
        const appendMs = environment.clock.monotonic() - startMs;
        return {
          hash: sealed.hash,
          append_ms: appendMs,
          record_bytes: sealed.bytes.length,
          context_tokens: contextTokens,
        };
      }
      default:
        throw new DiscedgeError('route_not_found', `no such route: ${pathname}`);
    }
  };
  const server = createServer((request, response) => {
    answer(request).then(
      (body) => response.end(JSON.stringify(body)),
      (error: Error) => response.writeHead(500).end(error.message),
    );
  });
  await once(server.listen(config.listen.port, config.listen.host), 'listening');
  const { port, address } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await opened.close();
      await llm.close();
    },
  };
});

/** Records of other nodes that are here, and who waits for them. */
class Arrivals {
  readonly #here = new Set<string>();
  readonly #waiting = new Map<string, () => void>();

  constructor(store: ContextStore) {
    store.onRecord(({ hash }, from) => {
      if (from === 'here') return;
      this.#here.add(hash);
      this.#waiting.get(hash)?.();
    });
  }

  of(hash: string): Promise<void> {
    return this.#here.has(hash) ? Promise.resolve() : new Promise((resolve) => this.#waiting.set(hash, resolve));
  }
}

function nodesOf(self: string, sharing: SharedContexts) {
  const peers = sharing.status().peers.map(({ nodeId: node, state, bytesIn: bytes_in, bytesOut: bytes_out }) => {
    return { node, state, bytes_in, bytes_out };
  });
  return { nodes: [{ node: self, state: 'self' }, ...peers] };
}
