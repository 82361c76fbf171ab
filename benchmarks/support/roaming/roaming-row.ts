import { quantile, rounded } from '../statistics.ts';
import type { WarmedIds } from './roaming-nodes.ts';
import type { TakenTurn, TurnKind } from './roaming-workload.ts';

/** Ids of a context that may be missing where all of it was there: the last one of a reply is never evaluated. */
const MISSED_IDS_MAX = 1;

export interface RoamingRow {
  readonly handovers: number;
  /** Of them, the share that found their whole context. */
  readonly warm: number;
  /** Of their contexts' ids, the share that was found. */
  readonly found: number;
  readonly movedP50Ms: number;
  readonly movedMeanMs: number;
  readonly movedP99Ms: number;
  readonly stayed: number;
  readonly stayedP50Ms: number;
  readonly stayedP99Ms: number;
  readonly opened: number;
  readonly openedP50Ms: number;
  /** Ahead of need. */
  readonly warmedIds: number;
  /** Of those, the share that no turn used. */
  readonly inVain: number;
  /** By turns that waited for it. */
  readonly evaluatedIds: number;
}

/** `warmed`: what nodes evaluated ahead while these turns were taken, whose sessions have all ended. */
export function roamingRow(taken: readonly TakenTurn[], warmed: WarmedIds): RoamingRow {
  const of = (kind: TurnKind) => taken.filter((turn) => turn.kind === kind);
  const [moved, stayed, opened] = [of('moves'), of('stays'), of('opens')];
  const foundIds = ({ contextIds, cachedIds }: TakenTurn) => Math.min(contextIds, cachedIds);
  const warm = moved.filter((turn) => foundIds(turn) >= turn.contextIds - MISSED_IDS_MAX);
  const { warmedIds, usedIds } = warmed;
  return {
    handovers: moved.length,
    warm: share(warm.length, moved.length),
    found: share(sum(moved.map(foundIds)), sum(moved.map(({ contextIds }) => contextIds))),
    movedP50Ms: firstText(moved, 0.5),
    movedMeanMs: rounded(sum(moved.map(({ firstTextMs }) => firstTextMs)) / moved.length, 1),
    movedP99Ms: firstText(moved, 0.99),
    stayed: stayed.length,
    stayedP50Ms: firstText(stayed, 0.5),
    stayedP99Ms: firstText(stayed, 0.99),
    opened: opened.length,
    openedP50Ms: firstText(opened, 0.5),
    warmedIds,
    inVain: warmedIds === 0 ? 0 : share(warmedIds - usedIds, warmedIds),
    evaluatedIds: sum(taken.map(({ evaluatedIds }) => evaluatedIds)),
  };
}

function firstText(turns: readonly TakenTurn[], p: number): number {
  return rounded(
    quantile(
      turns.map(({ firstTextMs }) => firstTextMs),
      p,
    ),
    1,
  );
}

function share(some: number, all: number): number {
  return rounded(some / all, 3);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
