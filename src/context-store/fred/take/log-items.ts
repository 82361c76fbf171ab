import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import { isOfLog, parseItemId, recordId } from '../names.ts';
import type { FredItem } from '../wire/contract.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { FredFailure } from '../wire/fred-failure.ts';

/** What stands in place of a record whose session was deleted. */
export const BLANK = '0';

/** Items in one answer: of usual records 50 kB. */
const PAGE_ITEMS = 100;
/** Ids in one answer. */
const PAGE_KEYS = 1_000;

export interface LogItem {
  readonly sequence: number;
  /** `undefined` where it is blank. */
  readonly value: string | undefined;
}

export interface LogItemsQuery {
  readonly client: FredClient;
  /** Its name in FReD. */
  readonly keygroup: string;
  readonly log: OriginLog;
  readonly after: number;
  /** One that was there lately, at or before that: a scan can only begin with an item that is there. */
  readonly from?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * A log's items at one FReD node after a sequence, in order; none where that node does not have the log. Throws `FredFailure` where
 * the node cannot be asked.
 */
export async function* readLogItems(query: LogItemsQuery): AsyncIterable<LogItem> {
  const { client, keygroup, log, after, from = after, signal } = query;
  let start: string | undefined = recordId(log, from);
  let isFirst = true;
  let count = PAGE_ITEMS;
  while (start !== undefined) {
    let items: readonly FredItem[];
    try {
      items = await client.scan({ keygroup, id: start, count: count + 1 }, { signal });
    } catch (error) {
      // Large records: fewer of them fit into an answer.
      if (isKind(error, 'too-large') && count > 1) count = Math.ceil(count / 4);
      else if (isFirst && isKind(error, 'failed', 'forbidden')) start = await lastBefore(query);
      else throw error;
      isFirst &&= isKind(error, 'too-large');
      continue;
    }
    let last: string | undefined;
    for (const { id, value } of items) {
      const place = parseItemId(id);
      if (place === undefined || !isOfLog(place, log)) return;
      last = id;
      // A deletion that somebody else has made is taken for a blank: nothing else is there any more.
      const isBlank = value === BLANK || value === '';
      if (place.number > after) yield { sequence: place.number, value: isBlank ? undefined : value };
    }
    if (last === undefined || last === start || items.length <= count) return;
    [start, isFirst] = [last, false];
  }
}

/** The item at the cursor has expired, or never was: the last one before it that is there; `undefined` where the log is not. */
async function lastBefore({ client, keygroup, log, after, signal }: LogItemsQuery): Promise<string | undefined> {
  const wanted = recordId(log, after);
  for (let start = recordId(log, 0); ; ) {
    let ids: readonly string[];
    try {
      ids = (await client.keys({ keygroup, id: start, count: PAGE_KEYS }, { signal })).map(({ id }) => id);
    } catch (error) {
      if (isKind(error, 'failed', 'forbidden')) return undefined;
      throw error;
    }
    const before = ids.filter((id) => id <= wanted);
    const last = before.at(-1) ?? start;
    if (last === start || before.length < ids.length || ids.length < PAGE_KEYS) return last;
    start = last;
  }
}

function isKind(error: unknown, ...kinds: readonly FredFailure['kind'][]): boolean {
  return error instanceof FredFailure && kinds.includes(error.kind);
}
