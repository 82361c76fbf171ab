// npm run bench:roaming [-- --movements NAMES --policies NAMES --clients N --sessions N --seed N --rows FILE]
//
// What each warming policy comes to where clients roam, with real nodes: three of them with nats-servers of their own and the demo
// model in each, clients that pause between turns, and more sessions than a node has room for. To the first text of a reply
// on the turn after a handover and on turns that stay, the share of handovers that find their context, and what was evaluated
// in vain, beside no warming and beside a client that sends its whole history. All policies see the same clients. A policy takes about 50
// seconds of a quiet machine, both movements ten minutes.
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MOVEMENTS, type MovementName } from '../tools/roaming-simulation/movement.ts';
import { benchmarkFlags, namesIn } from './support/arguments.ts';
import { measureRoaming } from './support/roaming/measure-roaming.ts';
import { ROAMING_POLICIES, type RoamingPolicy } from './support/roaming/roaming-workload.ts';
import { runInfo } from './support/run-info.ts';
import { table } from './support/table.ts';

const TURNS = [9, 15] as const;
const OPENING_IDS = [900, 1_300] as const;
const THINK_MS = [1_200, 3_600] as const;

const values = benchmarkFlags('roaming', {
  movements: {
    type: 'string',
    default: 'predictable,uniform',
    help: `NAMES of how clients move: ${Object.keys(MOVEMENTS).join(', ')}`,
    among: Object.keys(MOVEMENTS),
  },
  policies: {
    type: 'string',
    default: ROAMING_POLICIES.join(','),
    help: 'NAMES of who is warmed',
    among: ROAMING_POLICIES,
  },
  clients: { type: 'string', default: '8', help: 'N that roam', isNumber: true },
  sessions: { type: 'string', default: '1', help: 'N of each client', isNumber: true },
  room: { type: 'string', default: '6', help: 'SESSIONS of which a node holds the KV state', isNumber: true },
  seed: { type: 'string', default: '1', help: 'N that decides what clients do', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const movements = namesIn<MovementName>(values.movements);
const policies = namesIn<RoamingPolicy>(values.policies);
const [clients, sessions, roomSessions, seed] = [values.clients, values.sessions, values.room, values.seed].map(
  Number,
) as [number, number, number, number];
const info = runInfo('roaming', seed);
const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync('npm', ['run', 'build', '--silent'], { cwd: root, stdio: 'inherit' });
console.log(
  `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}, seed ${seed}`,
);

const COLUMNS = [
  ...(['policy', 'handovers', 'warm', 'found', 'movedP50Ms', 'movedMeanMs', 'movedP99Ms', 'stayed'] as const),
  ...(['stayedP50Ms', 'stayedP99Ms', 'openedP50Ms', 'warmedIds', 'inVain', 'evaluatedIds', 'processorsBusy'] as const),
];
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
for (const movement of movements) {
  const workload = { movement, clients, sessions, turns: TURNS, openingIds: OPENING_IDS, thinkMs: THINK_MS, seed };
  const rows = [];
  for (const policy of policies) {
    const row = await measureRoaming(workload, policy, { roomSessions });
    rows.push({ ...row, warm: percent(row.warm), found: percent(row.found), inVain: percent(row.inVain) });
    if (values.rows === undefined) continue;
    appendFileSync(resolve(values.rows), `${JSON.stringify({ ...info, ...workload, roomSessions, ...row })}\n`);
  }
  console.log(`\n${movement}\n${table(rows, COLUMNS)}`);
}
