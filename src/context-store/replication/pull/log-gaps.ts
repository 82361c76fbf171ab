import type { NodeId } from '../../../domain/identifiers.ts';
import { logText, type OriginLog } from '../../leveldb/log/origin-log.ts';
import { LOGS_MAX } from '../peers/peer-protocol.ts';

/** Sequences of a log from `first` to `last`. */
export interface LogGap {
  readonly first: number;
  readonly last: number;
}

interface GapsOfLog {
  readonly log: OriginLog;
  /** In order, none beside another. */
  gaps: LogGap[];
  /** How far each node has been asked. A log's gaps are noted in order, so what comes later lies beyond. */
  readonly askedThrough: Map<NodeId, number>;
}

/** Of one log. Of more the nearest become one: what is here lies between then, which costs some bytes of lists. */
const GAPS_MAX = 64;

/** What this node was told is gone at its origin, and whom it has asked for it since. */
export class LogGaps {
  readonly #logs = new Map<string, GapsOfLog>();
  /** Called when there is something new to ask for. */
  onNoted = () => {};

  get logs(): OriginLog[] {
    return [...this.#logs.values()].map(({ log }) => log);
  }

  /** Of each log, where its last gap ends. */
  get ends(): { readonly log: OriginLog; readonly through: number }[] {
    return [...this.#logs.values()].flatMap(({ log, gaps }) =>
      gaps.slice(-1).map(({ last }) => ({ log, through: last })),
    );
  }

  /** The log was settled after one sequence through another, of which these (in order) are here. */
  note(log: OriginLog, { after, through, here }: { after: number; through: number; here: readonly number[] }): void {
    const gaps: LogGap[] = [];
    let before = after;
    for (const sequence of [...here, through + 1]) {
      if (sequence > before + 1) gaps.push({ first: before + 1, last: sequence - 1 });
      before = Math.max(before, sequence);
    }
    const text = logText(log);
    const known = this.#logs.get(text) ?? { log, gaps: [], askedThrough: new Map() };
    if (gaps.length === 0 || (!this.#logs.has(text) && this.#logs.size >= LOGS_MAX)) return;
    known.gaps = bounded(joined([...known.gaps, ...gaps]));
    this.#logs.set(text, known);
    this.onNoted();
  }

  /** What a node was not asked for yet. */
  openFor(log: OriginLog, nodeId: NodeId): LogGap[] {
    const { gaps = [], askedThrough } = this.#logs.get(logText(log)) ?? {};
    const asked = askedThrough?.get(nodeId) ?? 0;
    return gaps.flatMap(({ first, last }) => (last > asked ? [{ first: Math.max(first, asked + 1), last }] : []));
  }

  /** The node has told what it holds up to there. */
  noteAsked(log: OriginLog, nodeId: NodeId, through: number): void {
    const askedThrough = this.#logs.get(logText(log))?.askedThrough;
    askedThrough?.set(nodeId, Math.max(through, askedThrough.get(nodeId) ?? 0));
  }

  /** What all these have been asked for is gone. */
  settle(log: OriginLog, nodes: readonly NodeId[]): void {
    const known = this.#logs.get(logText(log));
    if (known === undefined) return;
    const asked = Math.min(...nodes.map((nodeId) => known.askedThrough.get(nodeId) ?? 0));
    known.gaps = known.gaps.filter(({ last }) => last > asked);
    if (known.gaps.length === 0) this.#logs.delete(logText(log));
  }

  clear(): void {
    this.#logs.clear();
  }

  toText(): string {
    const logs = [...this.#logs.values()].map(({ log, gaps, askedThrough }) => ({
      log,
      gaps,
      asked: [...askedThrough],
    }));
    return JSON.stringify(logs);
  }

  /** Takes up what {@link toText} returned; nothing from any other text. */
  take(text: string): void {
    try {
      for (const { log, gaps, asked } of JSON.parse(text)) {
        this.#logs.set(logText(log), { log, gaps, askedThrough: new Map(asked) });
      }
    } catch {
      this.clear();
    }
  }
}

/** Gaps in order, those beside each other as one. */
function joined(gaps: readonly LogGap[]): LogGap[] {
  const result: LogGap[] = [];
  for (const gap of gaps) {
    const before = result.at(-1);
    if (before === undefined || gap.first > before.last + 1) result.push(gap);
    else result[result.length - 1] = { first: before.first, last: Math.max(before.last, gap.last) };
  }
  return result;
}

function bounded(gaps: readonly LogGap[]): LogGap[] {
  let result = [...gaps];
  while (result.length > GAPS_MAX) {
    const distances = result.slice(1).map(({ first }, index) => first - (result[index] as LogGap).last);
    const nearest = distances.indexOf(Math.min(...distances));
    const [a, b] = result.slice(nearest, nearest + 2) as [LogGap, LogGap];
    result = [...result.slice(0, nearest), { first: a.first, last: b.last }, ...result.slice(nearest + 2)];
  }
  return result;
}
