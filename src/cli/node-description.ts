import type { EdgeNodeConfig } from '../config/config.ts';
import { hostHere, originOf } from '../config/listen-address.ts';
import type { EdgeNode, ModelDescription } from '../edge-node/edge-node.ts';
import { styled } from './terminal.ts';

/** What a started node serves, where, and how to try it: two turns, of which the second carries nothing but its message. */
export function describeNode(node: EdgeNode, config: EdgeNodeConfig): string {
  const { address } = node;
  const { https } = config;
  const url = originOf({ host: hostHere(address), port: address.port }, https === undefined ? 'http' : 'https');
  const caFile = https === undefined ? undefined : ownAuthority(config);
  const { nodeId, models, unservedModels, storeName, replication } = node.description;
  const rows = [
    ...models.map((model, place) => [place === 0 ? 'model' : '', modelLine(model, { place, of: models.length })]),
    ...unservedModels.map(({ model, reason }) => ['', styled('yellow', `not served: ${model}: ${reason}`)]),
    [
      'store',
      config.store.keepsFiles ? `${storeName} in ${config.dataDir}` : `${storeName} (gone when the node stops)`,
    ],
    ...(replication === undefined ? [] : [['cluster', clusterLine(replication, config)]]),
    ...(models.length === 1 ? models.map((model) => ['mode', modeLine(model)]) : []),
    [
      'API',
      `${url}${url === address.url ? '' : ', and the other addresses of this machine'} (described in ${url}/openapi.json)`,
    ],
  ];
  return [
    `${styled('bold', 'DisCEdge')} edge node ${styled('bold', nodeId)} serves`,
    '',
    ...rows.map(([name, value]) => `  ${styled('dim', (name as string).padEnd(7))} ${value}`),
    '',
    'Try a turn:',
    `  ${curl(url, caFile, { session_id: 'hello', turn: 1, prompt: 'My name is Ada.' })}`,
    'and the next one, which carries nothing but its message:',
    `  ${curl(url, caFile, { session_id: 'hello', turn: 2, prompt: 'What is my name?' })}`,
    `or talk to it: ${chatCommand(url, caFile)}`,
    '',
    '',
  ].join('\n');
}

/** Where there are several, which of them is the default one, and each one's mode. */
function modelLine(model: ModelDescription, { place, of }: { place: number; of: number }): string {
  const { llm, llmName, parallel } = model;
  const window = `${llm.contextTokens.toLocaleString('en')} tokens of context, ${parallel} turn${parallel === 1 ? '' : 's'} at once`;
  const facts = [window, llmName];
  if (of > 1) facts.push(modeLine(model), ...(place === 0 ? ['the default one'] : []));
  return `${llm.identity.name} (${facts.join('; ')})`;
}

/** The mode, and where the chat template does not only append, what is evaluated again and why. */
function modeLine({ mode, template: { classes, whyUnusable } }: ModelDescription): string {
  if (whyUnusable !== undefined) return `${mode} (contexts cannot be kept: ${whyUnusable})`;
  const others = classes.filter((found) => found.class === 'follow' || found.class === 'rewrite');
  const [first] = others;
  if (first === undefined) return mode;
  const traits = others.map(({ trait }) => (trait === 'plain' ? 'any conversation' : `conversations with ${trait}`));
  return `${mode} (chat template of class ${first.class} for ${traits.join(', ')}: ${first.why})`;
}

function clusterLine(
  { cluster, transport: { url } }: NonNullable<EdgeNode['description']['replication']>,
  { nodeId, replication }: EdgeNodeConfig,
): string {
  const peers = replication?.peers.map((peer) => peer.nodeId) ?? [];
  const known = peers.length === 0 ? 'no peer yet' : `peers ${peers.join(', ')}`;
  const joining = url === undefined ? '' : `; others join with --peers ${nodeId}=${url.replace(/^\w+:\/\//, '')}`;
  return `${cluster}: ${known}${joining}`;
}

/** The authority that clients need to know, where the certificate is the node's own. */
function ownAuthority({ https, replication }: EdgeNodeConfig): string | undefined {
  const certificates = replication?.certificates;
  return certificates?.certFile === https?.certFile ? certificates?.caFile : undefined;
}

function curl(url: string, caFile: string | undefined, body: object): string {
  return `curl ${caFile === undefined ? '' : `--cacert ${caFile} `}${url}/completion -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
}

function chatCommand(url: string, caFile: string | undefined): string {
  if (caFile !== undefined) return `npx discedge chat --ca ${caFile} --url ${url}`;
  return url === 'http://127.0.0.1:8081' ? 'npx discedge chat' : `npx discedge chat --url ${url}`;
}
