import { Type } from 'typebox';
import { list, onOff, path, size, text } from './setting-schema.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What a node needs to know to share its contexts with others; part of the settings' one schema. */
export const REPLICATION_SETTINGS = {
  cluster: text({
    group: 'Replication',
    placeholder: 'NAME',
    default: 'discedge',
    description:
      'The nodes that replicate with each other; a node of another cluster is refused. 1 to 32 letters, digits, `-` or `_`, starting with a letter or digit. Certificates are made for it.',
  }),
  peers: Type.Optional(
    list({
      group: 'Replication',
      placeholder: 'ID=HOST:PORT,…',
      defaultText: 'none',
      description:
        'Other nodes of the cluster and where their nats-servers are reached: `e2=10.0.0.2:4222,e3=10.0.0.3:4222`. One is enough, the others are learned from it. An id alone stands for a node on the other side of a hub. Without `certs-dir` only peers on this machine are taken.',
    }),
  ),
  exclude: Type.Optional(
    list({
      group: 'Replication',
      placeholder: 'ID,…',
      defaultText: 'none',
      description:
        'Nodes that are shut out, whatever certificate they have: they are not let in, not asked and not told of. Also for nodes that have left for good, which the others would go on looking for.',
    }),
  ),
  hub: Type.Optional(
    text({
      group: 'Replication',
      placeholder: 'ID=HOST:PORT',
      defaultText: 'none',
      description:
        'For a node that can only dial out: the node whose `hub-listen` it dials, `e1=10.0.0.1:7422`. It reaches that node and all behind it, and they reach it, over this one connection; it needs no open port.',
    }),
  ),
  hubListen: Type.Optional(
    text({
      group: 'Replication',
      placeholder: 'HOST:PORT',
      defaultText: 'none',
      description:
        'Where the nats-server that the node starts takes in nodes that can only dial out: this node is their hub. Another address than loopback needs `certs-dir`. 7422 is the usual port.',
    }),
  ),
  natsListen: text({
    group: 'Replication',
    placeholder: 'HOST:PORT',
    default: '127.0.0.1:4222',
    description:
      'Where the nats-server that the node starts listens for the node itself and its peers. Another address than loopback needs `certs-dir`. IPv6 in brackets; port 0 takes any free port.',
  }),
  natsAdvertise: Type.Optional(
    text({
      group: 'Replication',
      placeholder: 'HOST:PORT',
      defaultText: '`nats-listen`, with the host name where that is a wildcard',
      description:
        "Where peers reach this node's nats-server, as they are told. Needed where that differs from its own address, as behind a NAT or with a server that the node does not start.",
    }),
  ),
  natsProgram: text({
    group: 'Replication',
    placeholder: 'PROGRAM',
    default: 'nats-server',
    description: 'The nats-server to start, 2.9 or later: a name on the PATH, or a path.',
  }),
  natsBytesMax: size({
    group: 'Replication',
    minimum: 16 * MIB,
    maximum: 1024 * GIB,
    default: GIB,
    description:
      'How much of the disk that nats-server may take for records on their way to peers. What a peer has missed beyond it comes from the replica. From 16 MiB, room for two of the longest records, to 1 TiB, as for the replica.',
  }),
  certsDir: Type.Optional(
    path({
      group: 'Replication',
      placeholder: 'DIR',
      defaultText: 'none',
      description:
        "Folder with this node's `node.key`, `node.crt` and `ca.crt`, as `discedge certs node` makes it: peers then talk over mutual TLS, and may be on other machines.",
    }),
  ),
  requireSignedRecords: onOff({
    group: 'Replication',
    default: false,
    description:
      'Refuse records that their writer has not signed with the key of its certificate. Nodes with certificates sign always, and what names a node that is known to sign is refused without its signature. Off, records of builds that do not sign are taken, so that a cluster can be upgraded node by node: switch it on in a new cluster, and in one where all nodes sign once `ttl-seconds-max` has passed.',
  }),
  fredCertsDir: Type.Optional(
    path({
      group: 'Replication',
      placeholder: 'DIR',
      defaultText: 'none',
      description:
        "For `store fred://HOST:PORT`: folder with `node.key`, `node.crt` and `ca.crt`, as `discedge certs fred node` makes it. Keep a certificate authority for FReD alone: who has any certificate of it can write to FReD's peer port.",
    }),
  ),
  fredTriggerListen: text({
    group: 'Replication',
    placeholder: 'HOST:PORT',
    default: '127.0.0.1:0',
    description:
      "Where the node listens for what its FReD node's triggers tell, over mutual TLS. Port 0 takes any free port. FReD dials this address, or `fred-trigger-advertise`, and the certificate must name it.",
  }),
  fredTriggerAdvertise: Type.Optional(
    text({
      group: 'Replication',
      placeholder: 'HOST:PORT',
      defaultText: '`fred-trigger-listen`',
      description: 'Where FReD reaches `fred-trigger-listen`, where that differs from it, as for `0.0.0.0`.',
    }),
  ),
  advertise: Type.Optional(
    text({
      group: 'Replication',
      placeholder: 'URL',
      defaultText:
        "`listen`'s, with the host name where that is a wildcard; none where it is loopback and `certs-dir` is set",
      description: 'Where clients reach the HTTP API of this node; shown by every node in `/nodes`.',
    }),
  ),
  location: Type.Optional(
    text({
      group: 'Replication',
      placeholder: 'LAT,LON',
      defaultText: 'none',
      description:
        'Where the node is, in degrees, as `52.5123,13.3269`; shown by every node in `/nodes`, for clients that look for a near one.',
    }),
  ),
};
