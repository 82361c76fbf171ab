import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ClusterName, type NodeId, parseClusterName, parseNodeId } from '../../domain/identifiers.ts';
import { localTime } from '../terminal.ts';

interface FolderOptions {
  readonly dir: string;
  readonly days: number;
  readonly force?: true;
}

interface NodeOptions extends FolderOptions {
  readonly host: readonly string[];
  readonly keygroups?: readonly string[];
}

/** Ten years: replacing the authority means replacing every node's certificate at once. */
const AUTHORITY_DAYS = 3_650;
/** Two years: a node's certificate is replaced without stopping it. */
const NODE_DAYS = 730;
/** A century; later dates are beyond what some TLS libraries read. */
const DAYS_MAX = 36_500;

export function define(command: Command): void {
  defineAuthority(command, 'Make the authority of a cluster.', certifyCluster);
  defineNode(command, 'Make the certificate of one edge node, signed by the authority.', certifyNode).option(
    '--keygroups <KEYGROUP,...>',
    'the node may read the records of these alone, 16 hex digits each, as /nodes of a node has them; all unless given',
    separated,
  );
  const fred = command
    .command('fred')
    .description('Make what FReD wants: an authority of its own, and certificates of its nodes and their clients.');
  defineAuthority(fred, "Make the authority of a cluster's FReD nodes and their clients.", certifyFred);
  defineNode(fred, 'Make the certificates of one FReD node and of the edge node beside it.', certifyFredNode);
}

function defineAuthority(
  command: Command,
  description: string,
  make: (options: FolderOptions & { cluster: ClusterName }) => Promise<void>,
): void {
  addFolderOptions(command.command('ca').description(description), AUTHORITY_DAYS)
    .requiredOption('--cluster <NAME>', 'name of the cluster', parsedBy(parseClusterName))
    .action(make);
}

function defineNode(
  command: Command,
  description: string,
  make: (nodeId: NodeId, options: NodeOptions) => Promise<void>,
): Command {
  return addFolderOptions(command.command('node').description(description), NODE_DAYS)
    .argument('<ID>', "the node's id", parsedBy(parseNodeId))
    .requiredOption('--host <HOST,...>', 'names and IP addresses under which its peers reach it', separated)
    .action(make);
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

async function certifyCluster(options: FolderOptions & { cluster: ClusterName }): Promise<void> {
  const { dir, cluster, days, force = false } = options;
  const { makeAuthority } = await certificates();
  const { certFile, keyFile, notAfterMs } = await makeAuthority({ dir, cluster, days, force });
  print([
    `Authority of cluster ${cluster}, valid until ${localTime(new Date(notAfterMs))}:`,
    `  ${keyFile}   keep it here and secret: whoever has it can join the cluster`,
    `  ${certFile}   goes to every node, beside the node's own certificate`,
    `Next: discedge certs node ID --dir ${dir} --host HOST`,
  ]);
}

async function certifyNode(nodeId: NodeId, options: NodeOptions): Promise<void> {
  const { dir, host: hosts, keygroups, days, force = false } = options;
  const { makeNodeCertificate } = await certificates();
  const made = await makeNodeCertificate({ dir, nodeId, hosts, keygroups, days, force });
  print([
    `Certificate of node ${nodeId} in cluster ${made.cluster}, valid until ${localTime(new Date(made.notAfterMs))}:`,
    `  ${made.keyFile}   secret`,
    `  ${made.certFile}`,
    `  ${made.caFile}`,
    `  ${made.clusterKeyFile}   secret: seals the ids of responses, the same for all nodes`,
    `Copy the folder ${made.folder} to node ${nodeId}, and nothing else.`,
  ]);
}

async function certifyFred(options: FolderOptions & { cluster: ClusterName }): Promise<void> {
  const { dir, cluster, days, force = false } = options;
  const { makeAuthority } = await certificates();
  const made = await makeAuthority({ kind: 'fred', dir, cluster, days, force });
  print([
    `Authority of FReD in cluster ${cluster}, valid until ${localTime(new Date(made.notAfterMs))}:`,
    `  ${made.keyFile}   keep it here and secret: whoever it certifies can write to every keygroup`,
    `  ${made.certFile}   goes to every node, beside the node's own certificates`,
    `Next: discedge certs fred node ID --dir ${dir} --host HOST`,
  ]);
}

async function certifyFredNode(nodeId: NodeId, options: NodeOptions): Promise<void> {
  const { dir, host: hosts, days, force = false } = options;
  const { makeFredCertificates } = await certificates();
  const made = await makeFredCertificates({ dir, nodeId, hosts, days, force });
  print([
    `Certificates of FReD's node and the edge node ${nodeId} in cluster ${made.cluster}, valid until ${localTime(new Date(made.notAfterMs))}:`,
    `  ${made.fredKeyFile}   secret; FReD's and etcd's`,
    `  ${made.fredCertFile}`,
    `  ${made.keyFile}   secret; the edge node's`,
    `  ${made.certFile}`,
    `  ${made.caFile}`,
    `  ${made.clusterKeyFile}   secret: seals the ids of responses, the same for all nodes`,
    `Copy the folder ${made.folder} to the machine of node ${nodeId}, and nothing else.`,
  ]);
}

/** What makes certificates takes a while to load, and `--help` needs none of it. */
function certificates() {
  return import('../../certificates/certificates.ts');
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
