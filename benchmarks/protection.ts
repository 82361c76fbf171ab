// npm run bench:protection [-- --seconds N --rows FILE]
//
// What each protection adds to a turn: the same turns to nodes with the durable store that differ in one protection each, by turns in
// slices of half a second in one run, with an LLM in the process that costs nothing. Added = beyond the node without any.
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { KeyFolder } from '../src/access/key-folder.ts';
import { makeAuthority, makeNodeCertificate } from '../src/certificates/certificates.ts';
import { newEncryptionKey } from '../src/domain/encryption/key-ring.ts';
import { parseClusterName, parseNodeId } from '../src/domain/identifiers.ts';
import { LIMIT_NAMES, LIMITS, type Limits } from '../src/domain/principals/limits.ts';
import { newKey } from '../tools/new-key.ts';
import { natsPrograms } from '../tools/real-servers/nats-programs.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { alternated, type Contestant, type Measured } from './support/overhead/alternated.ts';
import { MeasuredServer } from './support/overhead/measured-server.ts';
import { runInfo } from './support/run-info.ts';
import { table } from './support/table.ts';
import { loadWithTurns } from './support/turn-load.ts';

interface Protection {
  readonly variant: string;
  /** Of the node; `undefined`: as it is without. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Turns are sent with a key, which has these limits. */
  readonly key?: { readonly limits?: Limits };
  /** Turns are sent over TLS. */
  readonly isSecure?: boolean;
}

/** Each limit is kept account of, and none is met. */
const UNMET: Limits = Object.fromEntries(LIMIT_NAMES.map((name) => [name, LIMITS[name].maximum]));

const CLIENTS = [1, 16];
/** V8 has compiled what is hot by then. */
const WARM_UP_TURNS = 3_000;
const SEED = 1;
const COLUMNS = [
  ...(['variant', 'clients', 'turnsPerSecond', 'p50Ms', 'p99Ms'] as const),
  ...(['addedP50Ms', 'addedP99Ms', 'cpuMsATurn'] as const),
];

const values = benchmarkFlags('protection', {
  seconds: { type: 'string', default: '6', help: 'SECONDS a row', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const elapsedMs = Number(values.seconds) * 1000;
const info = runInfo('protection', SEED);
/** On the disk that is measured: the project's own, not a RAM disk. */
const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
const { certsDir, authority } = await newCertificates(join(folder, 'certs'));
const keyFile = join(folder, 'encryption.key');
writeFileSync(keyFile, newEncryptionKey({ bytes: randomBytes }));
const [natsServer] = await natsPrograms();
const overNats = { store: 'nats', natsProgram: natsServer?.path, natsListen: '127.0.0.1:0' };
/** The first is what the others are held against; what certificates cost nodes that share is the last two's difference. */
const PROTECTIONS: readonly Protection[] = [
  { variant: 'none' },
  { variant: 'a key', key: {} },
  { variant: 'a key with limits', key: { limits: UNMET } },
  { variant: 'encryption at rest', settings: { encryptionKey: keyFile } },
  { variant: 'HTTPS', settings: { tls: true, certsDir }, isSecure: true },
  ...(natsServer === undefined
    ? []
    : [
        { variant: 'shared over NATS', settings: overNats },
        { variant: 'shared, TLS and signed records', settings: { ...overNats, certsDir } },
      ]),
];
const contestants: Contestant[] = [];
try {
  console.log(
    `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}; ${values.seconds} s a row\n`,
  );
  for (const [at, protection] of PROTECTIONS.entries())
    contestants.push(await started(protection, join(folder, `${at}`)));
  for (const { load } of contestants) await load(4, elapsedMs / 4);
  const measured: Measured[] = [];
  for (const clients of CLIENTS) measured.push(...(await alternated(contestants, { clients, elapsedMs })));
  console.log(table(measured, COLUMNS));
  if (values.rows !== undefined) {
    const rows = measured.map((row) => `${JSON.stringify({ ...info, part: 'protection', ...row })}\n`);
    appendFileSync(resolve(values.rows), rows.join(''));
  }
} finally {
  for (const { server } of contestants) await server?.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function started({ variant, settings, key, isSecure }: Protection, dataDir: string): Promise<Contestant> {
  const keysDir = join(dataDir, 'keys');
  const { text } = key === undefined ? {} : await newKey(new KeyFolder(keysDir), key);
  const server = await MeasuredServer.start({ store: 'durable', dataDir, settings: { keysDir, ...settings } });
  const sent = { key: text, authority: isSecure === true ? authority : undefined };
  await loadWithTurns(server.port, 4, { turns: WARM_UP_TURNS, ...sent });
  const load = (clients: number, sliceMs: number) =>
    loadWithTurns(server.port, clients, { elapsedMs: sliceMs, ...sent });
  return { variant, server, load };
}

/** What "discedge certs" makes, of the node that all are. */
async function newCertificates(dir: string): Promise<{ certsDir: string; authority: string }> {
  const [cluster, nodeId] = [parseClusterName('discedge'), parseNodeId('bench')];
  await makeAuthority({ dir, cluster, days: 1, force: false });
  const made = await makeNodeCertificate({ dir, nodeId, hosts: ['localhost'], days: 1, force: false });
  return { certsDir: made.folder, authority: readFileSync(made.caFile, 'utf8') };
}
