import { Type } from 'typebox';
import { HTTPS_SETTINGS } from './https-settings.ts';
import { path, text } from './setting-schema.ts';

/** Where the node is found and what is its own; part of the settings' one schema. */
export const NODE_SETTINGS = {
  listen: text({
    group: 'Node',
    placeholder: 'HOST:PORT',
    default: '127.0.0.1:8081',
    description:
      'Address of the HTTP API. The default is reachable from this machine only; another needs API keys, `jwt-issuer` or `serve-anyone`. IPv6 in brackets, `[::1]:8081`; port 0 takes any free port.',
  }),
  ...HTTPS_SETTINGS,
  nodeId: Type.Optional(
    text({
      group: 'Node',
      placeholder: 'ID',
      defaultText: 'the host name',
      description:
        "This node's name in records, replies and logs; no two nodes may share one. 1 to 32 letters, digits, `-` or `_`, starting with a letter or digit: it also becomes part of stream and key names. A data folder belongs to one node id, so set it where the host name changes, as in containers.",
    }),
  ),
  dataDir: path({
    group: 'Node',
    placeholder: 'DIR',
    default: '.discedge',
    description: "Folder of this node's replica of the context store; made when missing. One node at a time.",
  }),
  clusterKeyFile: Type.Optional(
    path({
      group: 'Node',
      placeholder: 'FILE',
      defaultText: "`cluster.key` beside the node's certificate, else one that the node makes in its data folder",
      description:
        "File with the cluster's key, 64 hex digits: response and conversation ids of OpenAI's API are sealed with it. Nodes that share contexts need the same one, or an id made at one is unknown at the others. Keep it secret: whoever has it can make ids of anybody's sessions.",
    }),
  ),
};
