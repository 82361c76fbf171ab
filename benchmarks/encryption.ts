// npm run bench:encryption [-- --rows FILE]
//
// What encryption at rest costs: of one row and of one kept state, sealed and opened. What it adds to a turn is in bench:protection.
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { KeyedRowSeal } from '../src/context-store/leveldb/sealing/row-seal.ts';
import { type KeyRing, newEncryptionKey, readKeyRing } from '../src/domain/encryption/key-ring.ts';
import { nodeEnvironment } from '../src/environment/node-environment.ts';
import { SealedForm } from '../src/llm-service/embedded/kept-state/sealed-form.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

/** Of a record of a short turn, of a long one, of one with a picture. */
const ROW_BYTES = [300, 3_000, 300_000];
/** As long as LevelDB's keys of records are. */
const KEY_BYTES = 90;
const ROUND_MS = 1_000;
/** Of a thousand ids of a small model. */
const STATE_BYTES = 100 * 2 ** 20;
const STATE_ROUNDS = 5;

const values = benchmarkFlags('encryption', {
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const info = runInfo('encryption', 0);
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'bench' });
const ring = newRing();

console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);
const ofRows = measureRows();
console.log(`${table(ofRows, ['bytes', 'added_bytes', 'seal_us', 'open_us'])}\n`);
const ofStates = await measureStates();
console.log(table(ofStates, ['bytes', 'added_bytes', 'seal_mb_a_second', 'open_mb_a_second']));
if (values.rows !== undefined) {
  const rows = [...ofRows, ...ofStates].map((row) => `${JSON.stringify({ ...info, ...row })}\n`);
  appendFileSync(resolve(values.rows), rows.join(''));
}

function newRing(): KeyRing {
  const read = readKeyRing(newEncryptionKey(environment.random));
  if ('problem' in read) throw new TypeError(read.problem);
  return read;
}

function measureRows() {
  const seal = new KeyedRowSeal(ring, environment.random);
  const rowKey = randomBytes(KEY_BYTES);
  return ROW_BYTES.map((bytes) => {
    const row = randomBytes(bytes);
    const sealed = seal.seal(row, rowKey);
    return {
      row: 'row',
      bytes,
      added_bytes: sealed.length - bytes,
      seal_us: microseconds(() => seal.seal(row, rowKey)),
      open_us: microseconds(() => seal.open(sealed, rowKey)),
    };
  });
}

/** From memory to the disk and back, without what llama.cpp does. */
async function measureStates() {
  const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
  const memory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'discedge-bench-'));
  try {
    const sealing = {
      key: ring.keys[0]?.derive('kept state') as Buffer,
      memoryFolder: join(memory, 'state'),
      memoryBytesMax: STATE_BYTES,
    };
    const form = await SealedForm.open(sealing, 'model', environment.random);
    const path = join(folder, 'state');
    const state = randomBytes(STATE_BYTES);
    const [sealMs, openMs]: [number[], number[]] = [[], []];
    let fileBytes = 0;
    for (let round = 0; round < STATE_ROUNDS; round++) {
      let startedMs = 0;
      const save = async (plain: string) => {
        await writeFile(plain, state);
        startedMs = performance.now();
        return STATE_BYTES;
      };
      const written = await form.write(path, { expectedBytes: STATE_BYTES, save });
      fileBytes = form.seal(path, { ...written, binding: 'model', affinity: 'a', returns: 0, ids: [] });
      sealMs.push(performance.now() - startedMs);
      startedMs = performance.now();
      await form.read(path, written, async () => void openMs.push(performance.now() - startedMs));
    }
    const perSecond = (ms: readonly number[]) => Math.round(STATE_BYTES / 1000 / quantile(ms, 0.5));
    const speeds = { seal_mb_a_second: perSecond(sealMs), open_mb_a_second: perSecond(openMs) };
    return [{ row: 'state', bytes: STATE_BYTES, added_bytes: fileBytes - STATE_BYTES, ...speeds }];
  } finally {
    for (const made of [folder, memory]) rmSync(made, { recursive: true, force: true });
  }
}

/** Of processor time, once V8 has compiled it. */
function microseconds(call: () => void): number {
  const round = () => {
    const before = process.cpuUsage();
    const end = performance.now() + ROUND_MS;
    let calls = 0;
    for (; performance.now() < end; calls++) call();
    return process.cpuUsage(before).user / calls;
  };
  round();
  return rounded(round(), 1);
}
