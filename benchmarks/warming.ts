// npm run bench:warming [-- --clients N --room SESSIONS --minutes N --seed N --rows FILE]
//
// What each warming policy comes to where clients roam: the share of handovers that find their whole context evaluated, and the
// share of what was evaluated ahead of need in vain, beside no warming at all. Policies and queue are a real node's, with one
// clock that is simulated, and engines that cost time and have room for so many sessions (1 ms an id of a prompt, 10 ms one of a
// reply). One seed gives one outcome, on whatever machine.
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { WARMING_POLICIES } from '../src/domain/warming-policies.ts';
import { MOVEMENTS, type MovementName } from '../tools/roaming-simulation/movement.ts';
import { ROAMING_WORKLOAD, simulateRoaming } from '../tools/roaming-simulation/simulation.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { runInfo } from './support/run-info.ts';
import { rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const values = benchmarkFlags('warming', {
  clients: { type: 'string', default: String(ROAMING_WORKLOAD.clients), help: 'N that roam', isNumber: true },
  room: {
    type: 'string',
    default: String(ROAMING_WORKLOAD.roomSessions),
    help: 'SESSIONS of which a node holds the KV state',
    isNumber: true,
  },
  minutes: { type: 'string', default: String(ROAMING_WORKLOAD.minutes), help: 'N of simulated time', isNumber: true },
  seed: { type: 'string', default: '1', help: 'N that decides what clients do', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const seed = Number(values.seed);
const workload = {
  ...ROAMING_WORKLOAD,
  clients: Number(values.clients),
  roomSessions: Number(values.room),
  minutes: Number(values.minutes),
  seed,
};
const info = runInfo('warming', seed);
console.log(
  `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}, seed ${seed}\n`,
);

const percent = (share: number) => `${rounded(100 * share, 1)} %`;
const rows = (Object.keys(MOVEMENTS) as MovementName[]).flatMap((movement) =>
  WARMING_POLICIES.toReversed().map((policy) => ({
    movement,
    policy,
    ...simulateRoaming({ ...workload, movement, policy }),
  })),
);
const shown = rows.map(({ warmShare, wasteShare, firstTokenMs, ...row }) => ({
  ...row,
  warm: percent(warmShare),
  inVain: percent(wasteShare),
  firstP50: `${firstTokenMs.p50} ms`,
  firstMean: `${Math.round(firstTokenMs.mean)} ms`,
}));
const columns = [
  'movement',
  'policy',
  'handovers',
  'warm',
  'inVain',
  'warmedIds',
  'evaluatedIds',
  'firstP50',
  'firstMean',
] as const;
console.log(table(shown, columns));
if (values.rows !== undefined) {
  for (const row of rows) appendFileSync(resolve(values.rows), `${JSON.stringify({ ...info, ...workload, ...row })}\n`);
}
