// Tries to let scenarios/README.md leave out a key of scenario files, a column or a field of the rows.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CSV_COLUMNS } from '../../src/scenario/run-csv.ts';
import { LOCATION_SCHEMA, SCENARIO_SCHEMA } from '../../src/scenario/scenario.ts';
import { trafficCsvHeader } from '../../src/traffic/traffic-row.ts';

const README = readFileSync(new URL('../../../scenarios/README.md', import.meta.url), 'utf8');
const missing = (names: readonly string[]) => names.filter((name) => !README.includes(`\`${name}\``));

it('every key of a scenario file is explained', () => {
  expect(missing([...Object.keys(SCENARIO_SCHEMA), ...Object.keys(LOCATION_SCHEMA)])).toEqual([]);
});

it('every column of the rows is explained', () => {
  expect(missing(CSV_COLUMNS)).toEqual([]);
});

it('every column of the traffic that is not plain from its name is explained', () => {
  const plain = ['source_port', 'destination_port'];
  expect(missing(trafficCsvHeader().trim().split(',')).filter((name) => !plain.includes(name))).toEqual([]);
});
