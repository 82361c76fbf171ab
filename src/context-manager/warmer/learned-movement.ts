import type { NodeId } from '../../domain/identifiers.ts';

/** Nodes, and how many turns were taken at each after what a situation says. */
export type LearnedSituation = readonly [situation: string, turnsByNode: readonly (readonly [NodeId, number])[]];

/** What `predicted` has learned of a keygroup, as data: of nodes and times, and of nobody in particular. */
export interface LearnedMovement {
  /** The ones seen last at the end. */
  readonly situations: readonly LearnedSituation[];
  /** How far situations are trusted, 0 to 1, from the least to the most particular; not in files of earlier versions. */
  readonly trust?: readonly number[];
  readonly returns: LearnedReturns;
}

export interface LearnedReturns {
  /** Turns by how long their sessions had been still. */
  readonly times: readonly number[];
  /** Sessions that had no further turn. */
  readonly ends: number;
}

/** Two node ids of 128 bytes, and the part of the day. */
const SITUATION_CHARACTERS_MAX = 300;

/** Counts halve long before. */
const COUNT_MAX = 10_000;

/** `undefined` for what is not whole: a node begins anew then. */
export function parseLearnedMovement(value: unknown): LearnedMovement | undefined {
  const { situations, trust = [], returns } = (value ?? {}) as Partial<Record<keyof LearnedMovement, unknown>>;
  const { times, ends } = (returns ?? {}) as Partial<Record<keyof LearnedReturns, unknown>>;
  const isWhole =
    Array.isArray(situations) &&
    situations.every(isSituation) &&
    Array.isArray(trust) &&
    trust.every(isShare) &&
    Array.isArray(times) &&
    [...times, ends].every(isCount);
  return isWhole ? (value as LearnedMovement) : undefined;
}

function isSituation(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [situation, turnsByNode] = value;
  const isNamed = typeof situation === 'string' && situation.length <= SITUATION_CHARACTERS_MAX;
  return isNamed && Array.isArray(turnsByNode) && turnsByNode.every(isTurnsAtNode);
}

function isTurnsAtNode(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [node, turns] = value;
  return typeof node === 'string' && node.length <= SITUATION_CHARACTERS_MAX && isCount(turns);
}

const isCount = (value: unknown) => typeof value === 'number' && value >= 0 && value <= COUNT_MAX;

const isShare = (value: unknown) => isCount(value) && (value as number) <= 1;
