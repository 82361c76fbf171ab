import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAuthority, makeFredCertificates } from '../../src/certificates/certificates.ts';
import { parseClusterName, parseNodeId } from '../../src/domain/identifiers.ts';
import { FredDouble, type FredDoubleOptions } from './fred-double.ts';
import { NamingService } from './naming-service.ts';

/** FReD nodes that are none, with one naming service and certificates of one authority. */
export class FredDoubles {
  /** A folder with a folder of certificates for each node: what `--certs` is to a real cluster. */
  readonly certificates: string;
  readonly naming = new NamingService();
  readonly nodes: FredDouble[] = [];
  readonly #options: Pick<FredDoubleOptions, 'now' | 'isAsync'>;

  private constructor(certificates: string, options: Pick<FredDoubleOptions, 'now' | 'isAsync'>) {
    this.certificates = certificates;
    this.#options = options;
  }

  /** Starts a node for each name. */
  static async start(
    names: readonly string[],
    options: Pick<FredDoubleOptions, 'now' | 'isAsync'> & { readonly cluster?: string } = {},
  ): Promise<FredDoubles> {
    const dir = await mkdtemp(join(tmpdir(), 'discedge-fred-'));
    const cluster = parseClusterName(options.cluster ?? 'blue');
    await makeAuthority({ kind: 'fred', dir, cluster, days: 1, force: false });
    const doubles = new FredDoubles(dir, options);
    for (const name of names) await doubles.add(name);
    return doubles;
  }

  /** One node more, running. */
  async add(nodeId: string): Promise<FredDouble> {
    const request = {
      dir: this.certificates,
      nodeId: parseNodeId(nodeId),
      hosts: ['127.0.0.1'],
      days: 1,
      force: false,
    };
    const { folder } = await makeFredCertificates(request);
    const node = await FredDouble.make({ ...this.#options, nodeId, naming: this.naming, certificates: folder });
    this.nodes.push(node);
    await node.start();
    return node;
  }

  /** Ends all and removes the certificates. */
  async close(): Promise<void> {
    for (const node of this.nodes) node.kill();
    await rm(this.certificates, { recursive: true, force: true });
  }
}
