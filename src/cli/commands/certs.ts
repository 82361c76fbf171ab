import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ClusterName, parseClusterName } from '../../context-store/nats/names.ts';
import { type NodeId, parseNodeId } from '../../domain/identifiers.ts';
import type { NodeCertificateRequest } from '../../edge-node/certificates.ts';
import { localTime } from '../terminal.ts';

interface FolderOptions {
  readonly dir: string;
  readonly days: number;
  readonly force?: true;
}

/** Ten years: replacing the authority means replacing every node's certificate at once. */
const AUTHORITY_DAYS = 3_650;
/** Two years: a node's certificate is replaced without stopping it. */
const NODE_DAYS = 730;
/** A century; later dates are beyond what some TLS libraries read. */
const DAYS_MAX = 36_500;

export function define(command: Command): void {
  addFolderOptions(command.command('ca').description('Make the authority of a cluster.'), AUTHORITY_DAYS)
    .requiredOption('--cluster <NAME>', 'name of the cluster', parsedBy(parseClusterName))
    .action(makeAuthority);
  addFolderOptions(
    command.command('node').description('Make the certificate of one edge node, signed by the authority.'),
    NODE_DAYS,
  )
    .argument('<ID>', "the node's id", parsedBy(parseNodeId))
    .requiredOption('--host <HOST,...>', 'names and IP addresses under which its peers reach it', separated)
    .action(makeNode);
}

function addFolderOptions(command: Command, daysDefault: number): Command {
  return command
    .requiredOption(
      '--dir <DIR>',
      "folder of the authority; the nodes' certificates go into folders below it",
      (folder: string) => resolve(folder),
    )
    .addOption(new Option('--days <DAYS>', 'days of validity').default(daysDefault).argParser(days))
    .option('--force', 'replace what is there');
}

async function makeAuthority(options: FolderOptions & { cluster: ClusterName }): Promise<void> {
  const { certificates, clock } = await load();
  const { certFile, keyFile, notAfterMs } = await certificates.makeAuthority(
    { dir: options.dir, cluster: options.cluster, days: options.days, force: options.force ?? false },
    clock,
  );
  print([
    `Authority of cluster ${options.cluster}, valid until ${localTime(new Date(notAfterMs))}:`,
    `  ${keyFile}   keep it here and secret: whoever has it can join the cluster`,
    `  ${certFile}   goes to every node, beside the node's own certificate`,
    `Next: discedge certs node ID --dir ${options.dir} --host HOST`,
  ]);
}

async function makeNode(nodeId: NodeId, options: FolderOptions & { host: readonly string[] }): Promise<void> {
  const { certificates, clock } = await load();
  const request: NodeCertificateRequest = {
    dir: options.dir,
    nodeId,
    hosts: options.host,
    days: options.days,
    force: options.force ?? false,
  };
  const made = await certificates.makeNodeCertificate(request, clock);
  print([
    `Certificate of node ${nodeId} in cluster ${made.cluster}, valid until ${localTime(new Date(made.notAfterMs))}:`,
    `  ${made.keyFile}   secret`,
    `  ${made.certFile}`,
    `  ${made.caFile}`,
    `Copy the folder ${made.folder} to node ${nodeId}, and nothing else.`,
  ]);
}

/** What makes certificates takes a while to load, and `--help` needs none of it. */
async function load() {
  const [certificates, { nodeEnvironment }] = await Promise.all([
    import('../../edge-node/certificates.ts'),
    import('../../environment/node-environment.ts'),
  ]);
  return { certificates, clock: nodeEnvironment({ logLevel: 'silent', nodeId: 'certs' }).clock };
}

function parsedBy<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function separated(text: string): readonly string[] {
  return text.split(',').map((host) => host.trim());
}

function days(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > DAYS_MAX) {
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${DAYS_MAX}.`);
  }
  return value;
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}
