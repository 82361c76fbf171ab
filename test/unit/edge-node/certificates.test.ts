// Tries to get past mutual TLS with certificates that should not open it (another authority's, an expired one, another
// host's, an authority used as a node), and to make the files give away or lose a key. Real handshakes by Node's TLS.
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type PeerCertificate, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeAuthority, makeFredCertificates, makeNodeCertificate } from '../../../src/certificates/certificates.ts';
import {
  type IssuedCertificate,
  issueAuthority,
  issueNode,
  parseHost,
  parseKeygroups,
  readAuthority,
} from '../../../src/certificates/issue.ts';
import { nodesNamedIn } from '../../../src/context-store/nats/names.ts';
import { parseClusterName, parseNodeId } from '../../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const cluster = parseClusterName('blue');
const e1 = parseNodeId('e1');
const DAY_MS = 86_400_000;

describe('a handshake', () => {
  it('succeeds between two nodes of a cluster, and each learns who the other is', async () => {
    const authority = await newAuthority();
    const server = await node(authority, { nodeId: 'e1' });
    const client = await node(authority, { nodeId: 'e2' });
    const seen = await handshake({ server, client, ca: authority.certificate });
    expect(seen.byServer.subject).toMatchObject({ O: 'blue', CN: 'e2' });
    expect(seen.byServer.subjectaltname).toContain('email:e2@blue');
    expect(seen.byClient.subject).toMatchObject({ O: 'blue', CN: 'e1' });
  });

  it('names what the node may read, in one order and once', async () => {
    const reads = parseKeygroups(['ffeeddccbbaa9988', '00112233445566aa', 'ffeeddccbbaa9988']);
    const authority = await newAuthority();
    const { certificate } = await issueNode({ authority, nodeId: e1, hosts: [], days: 1, reads }, clock.now());
    const named = new X509Certificate(certificate).subjectAltName;
    expect(named).toContain('email:e1/00112233445566aa/ffeeddccbbaa9988@blue, email:_@blue');
    expect(nodesNamedIn(named)).toEqual([{ nodeId: e1, cluster, reads: ['00112233445566aa', 'ffeeddccbbaa9988'] }]);
  });

  it.each([[], [''], ['00112233445566AA'], ['0011'], Array.from({ length: 17 }, (_, i) => `${i}`.padStart(16, '0'))])(
    'lists no keygroups such as %j',
    (...texts) => {
      const refusal = expect.objectContaining({ code: 'certificate_unusable' });
      expect(() => parseKeygroups(texts)).toThrow(refusal);
    },
  );

  it('is refused with a certificate of another authority, even one of the same cluster name', async () => {
    const [ours, theirs] = [await newAuthority(), await newAuthority()];
    const good = await node(ours, { nodeId: 'e1' });
    const foreign = await node(theirs, { nodeId: 'e2' });
    await expect(handshake({ server: good, client: foreign, ca: ours.certificate })).rejects.toThrow(
      /server: .*(UNABLE_TO_VERIFY|SIGNATURE)/,
    );
    await expect(handshake({ server: foreign, client: good, ca: ours.certificate })).rejects.toThrow(
      /unable to verify|certificate signature failure|self.signed/,
    );
  });

  it('is refused with an expired certificate', async () => {
    const nowMs = clock.now();
    const authority = await newAuthority(nowMs - 40 * DAY_MS);
    const good = await node(authority, { nodeId: 'e1' });
    const expired = await node(authority, { nodeId: 'e2', days: 30, nowMs: nowMs - 31 * DAY_MS });
    const ca = authority.certificate;
    await expect(handshake({ server: expired, client: good, ca })).rejects.toThrow('certificate has expired');
    await expect(handshake({ server: good, client: expired, ca })).rejects.toThrow('server: CERT_HAS_EXPIRED');
  });

  it('is refused by a client that asked for another host', async () => {
    const authority = await newAuthority();
    const server = await node(authority, { nodeId: 'e1', hosts: ['e1.example'] });
    const connection = { server, client: server, ca: authority.certificate };
    await expect(handshake({ ...connection, host: 'e1.example' })).resolves.toBeDefined();
    await expect(handshake({ ...connection, host: 'e2.example' })).rejects.toThrow(/does not match/);
  });

  it('is refused with what another node signed: a node is no authority', async () => {
    const authority = await newAuthority();
    const good = await node(authority, { nodeId: 'e1' });
    const forged = await node({ kind: 'nodes', cluster, ...good }, { nodeId: 'e2' });
    const withChain = { ...forged, certificate: forged.certificate + good.certificate };
    await expect(handshake({ server: withChain, client: good, ca: authority.certificate })).rejects.toThrow(
      /invalid CA certificate|does not include certificate signing/,
    );
  });

  it('is not refused because the clock is half an hour behind the one that signed', async () => {
    const authority = await newAuthority(clock.now() + DAY_MS / 48);
    const server = await node(authority, { nodeId: 'e1', nowMs: clock.now() + DAY_MS / 48 });
    await expect(handshake({ server, client: server, ca: authority.certificate })).resolves.toBeDefined();
  });
});

describe('an issued certificate', () => {
  it('does not outlive its authority', async () => {
    const authority = await newAuthority(clock.now(), 10);
    const issued = await node(authority, { nodeId: 'e1', days: 1000 });
    expect(issued.notAfterMs - clock.now()).toBeLessThanOrEqual(10 * DAY_MS);
  });

  it('is not made by an expired authority, nor by the certificate of one and the key of another', async () => {
    const old = await newAuthority(clock.now() - 11 * DAY_MS, 10);
    await expect(node(old, { nodeId: 'e1' })).rejects.toMatchObject({ code: 'certificate_unusable' });
    const [a, b] = [await newAuthority(), await newAuthority()];
    await expect(node({ ...a, key: b.key }, { nodeId: 'e1' })).rejects.toThrow(/do not belong together/);
    await expect(node({ ...a, key: 'no key' }, { nodeId: 'e1' })).rejects.toThrow(/key of the authority is damaged/);
  });

  it('is for hosts only', () => {
    for (const host of ['10.0.0.1', '2001:db8::1', 'e1', 'edge-1.example.org']) expect(parseHost(host)).toBe(host);
    expect(parseHost('EDGE.example')).toBe('edge.example');
    for (const host of ['', 'a b', '10.0.0.1:4222', '10.0.0', '*.example', '-a', 'a..b', 'ä', `${'a'.repeat(64)}.b`]) {
      expect(() => parseHost(host), host).toThrow(/neither an IP address nor a host name/);
    }
  });
});

describe('the files', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'discedge-certs-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const authority = (force = false) => makeAuthority({ dir, cluster, days: 10, force }, clock);
  const certificate = (force = false) =>
    makeNodeCertificate({ dir, nodeId: e1, hosts: ['e1.example'], days: 5, force }, clock);

  it("keep keys to their owner, and the authority's key out of what is copied to nodes", async () => {
    await authority();
    const { folder, cluster: readBack } = await certificate();
    expect(readBack).toBe('blue');
    expect(statSync(join(dir, 'ca.key')).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'node.key')).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder).sort()).toEqual(['ca.crt', 'cluster.key', 'node.crt', 'node.key']);
    expect(statSync(join(folder, 'cluster.key')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir).sort()).toEqual(['ca.crt', 'ca.key', 'cluster.key', 'e1']);
  });

  it('are never overwritten, unless forced', async () => {
    await authority();
    await certificate();
    const before = [readFileSync(join(dir, 'ca.key'), 'utf8'), readFileSync(join(dir, 'e1/node.key'), 'utf8')];
    await expect(authority()).rejects.toThrow(/ca\.key exists and is kept; --force/);
    await expect(certificate()).rejects.toThrow(/node\.key exists and is kept; --force/);
    const after = [readFileSync(join(dir, 'ca.key'), 'utf8'), readFileSync(join(dir, 'e1/node.key'), 'utf8')];
    expect(after).toEqual(before);

    await certificate(true);
    expect(readFileSync(join(dir, 'e1/node.key'), 'utf8')).not.toBe(before[1]);
    await authority(true);
    expect(readFileSync(join(dir, 'ca.key'), 'utf8')).not.toBe(before[0]);
  });

  it('say what is wrong with the authority', async () => {
    await expect(certificate()).rejects.toThrow(/there is no authority .* "discedge certs ca"/);
    await authority();
    await certificate();
    writeFileSync(join(dir, 'ca.crt'), readFileSync(join(dir, 'e1/node.crt')));
    await expect(certificate(true)).rejects.toMatchObject({ code: 'certificate_unusable' });
    writeFileSync(join(dir, 'ca.crt'), 'damaged');
    await expect(certificate(true)).rejects.toMatchObject({ code: 'certificate_unusable' });
  });
});

describe("FReD's certificates", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'discedge-certs-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const fredNode = (nodeId: string, hosts = ['10.0.0.1']) =>
    makeFredCertificates({ dir, nodeId: parseNodeId(nodeId), hosts, days: 5, force: false }, clock);
  const parsed = (path: string) => new X509Certificate(readFileSync(path));

  it('are servers and clients with an address, and every edge node has the same name', async () => {
    await makeAuthority({ kind: 'fred', dir, cluster, days: 10, force: false }, clock);
    const [first, second] = [await fredNode('e1'), await fredNode('e2')];
    for (const file of [first.certFile, first.fredCertFile]) {
      expect(parsed(file).keyUsage?.sort()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
      expect(parsed(file).checkIP('10.0.0.1')).toBe('10.0.0.1');
      expect(parsed(file).verify(parsed(first.caFile).publicKey)).toBe(true);
    }
    expect(parsed(first.fredCertFile).subject).toBe('O=blue\nCN=e1');
    expect(parsed(first.certFile).subject).toBe('O=blue\nCN=discedge');
    expect(parsed(second.certFile).subject).toBe('O=blue\nCN=discedge');
    expect(parsed(first.certFile).subjectAltName).toContain('email:e1@blue');
    expect(readdirSync(first.folder).sort()).toEqual([
      'ca.crt',
      'cluster.key',
      'fred.crt',
      'fred.key',
      'node.crt',
      'node.key',
    ]);
    expect(statSync(first.fredKeyFile).mode & 0o777).toBe(0o600);
    await expect(fredNode('e1')).rejects.toThrow(/node\.key exists and is kept; --force/);
  });

  it('are of an authority of their own', async () => {
    await expect(fredNode('e1')).rejects.toThrow(/there is no authority .* "discedge certs fred ca"/);
    await makeAuthority({ dir, cluster, days: 10, force: false }, clock);
    await expect(fredNode('e1')).rejects.toThrow(/is its nodes'; FReD wants one .* in another folder/);
    await makeAuthority({ kind: 'fred', dir, cluster, days: 10, force: true }, clock);
    await expect(makeNodeCertificate({ dir, nodeId: e1, hosts: [], days: 5, force: false }, clock)).rejects.toThrow(
      /is FReD's; nodes want one .* in another folder/,
    );
  });

  it('name an address', async () => {
    await makeAuthority({ kind: 'fred', dir, cluster, days: 10, force: false }, clock);
    await expect(fredNode('e1', ['e1.example'])).rejects.toThrow(/give one or more IP addresses/);
  });
});

async function newAuthority(nowMs = clock.now(), days = 3650) {
  return readAuthority(await issueAuthority({ cluster, days }, nowMs));
}

function node(
  authority: Parameters<typeof issueNode>[0]['authority'],
  {
    nodeId,
    hosts = [],
    days = 30,
    nowMs = clock.now(),
  }: { nodeId: string; hosts?: string[]; days?: number; nowMs?: number },
): Promise<IssuedCertificate> {
  return issueNode({ authority, nodeId: parseNodeId(nodeId), hosts, days }, nowMs);
}

/** What each side read in the other's certificate; rejects when either refuses. */
async function handshake({
  server,
  client,
  ca,
  host = 'localhost',
}: {
  server: IssuedCertificate;
  client: IssuedCertificate;
  ca: string;
  host?: string;
}): Promise<{ byServer: PeerCertificate; byClient: PeerCertificate }> {
  const listener = createServer({ cert: server.certificate, key: server.key, ca, requestCert: true });
  // In TLS 1.3 the client is done before the server has looked at its certificate, so the server is asked.
  const accepted = new Promise<TLSSocket>((resolve, reject) => {
    listener.once('secureConnection', resolve);
    listener.once('tlsClientError', (_, refused) => reject(new Error(`server: ${refused.authorizationError}`)));
  });
  accepted.catch(() => {});
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const socket = connect({
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: host,
    cert: client.certificate,
    key: client.key,
    ca,
  });
  try {
    const refused = new Promise<never>((_, reject) => socket.once('error', reject));
    await Promise.race([new Promise((resolve) => socket.once('secureConnect', resolve)), refused]);
    const serverSide = await accepted;
    serverSide.on('error', () => {});
    return { byServer: serverSide.getPeerCertificate(), byClient: socket.getPeerCertificate() };
  } finally {
    socket.destroy();
    listener.close();
  }
}
