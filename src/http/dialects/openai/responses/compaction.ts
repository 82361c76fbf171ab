import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { SUMMARY_REQUEST } from '../../../../context-manager/modes/summary-request.ts';
import type { SealedIds } from '../../../../domain/encryption/sealed-ids.ts';
import type { UserId } from '../../../../domain/identifiers.ts';
import { textOf } from '../../../../domain/record/message-content.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';

const PREFIX = 'cmp_';
const VERSION = 1;
/** Far above any reply. */
const SUMMARY_BYTES_MAX = 4 * 1_048_576;

/** Summaries as clients keep them: every node of the cluster reads them, and nobody else reads or makes one. */
export class Compactions {
  readonly #ids: SealedIds;
  readonly #decoy: string;

  constructor(ids: SealedIds) {
    this.#ids = ids;
    this.#decoy = this.seal('', 'nobody' as UserId);
  }

  seal(summary: string, owner: UserId): string {
    return this.#ids.seal(PREFIX, Buffer.concat([headOf(owner), deflateRawSync(Buffer.from(summary))]));
  }

  /** `undefined` for what no node of this cluster has sealed for this user. */
  open(sealed: string, owner: UserId): string | undefined {
    const head = headOf(owner);
    const read = (content: Uint8Array) => {
      if (!head.equals(content.subarray(0, head.length))) return undefined;
      try {
        return inflateRawSync(content.subarray(head.length), { maxOutputLength: SUMMARY_BYTES_MAX }).toString('utf8');
      } catch {
        // Sealed by a later version, which packs otherwise.
        return undefined;
      }
    };
    return this.#ids.openFor(PREFIX, sealed, { read, decoy: this.#decoy });
  }
}

/** Whose it is: a summary says what its conversation did. */
function headOf(owner: UserId): Buffer {
  const name = Buffer.from(owner);
  return Buffer.concat([Buffer.from([VERSION, name.length]), name]);
}

/**
 * The messages that are read where a compacted conversation stands: what its users said, and the model's summary, which it gave
 * when it was asked. Users' messages right before it are one message with the request, as many templates know no two of one
 * role in a row.
 */
export function withSummary(before: readonly Message[], summary: string): Message[] {
  const run = before.findLastIndex(({ role }) => role !== 'user') + 1;
  const said = before.slice(run).map(({ content }) => textOf(content));
  return [
    ...before.slice(0, run),
    { role: 'user', content: [...said, SUMMARY_REQUEST].join('\n\n') },
    { role: 'assistant', content: summary },
  ];
}

/** What a user said in a message; `undefined` for one that only asks for a summary. */
export function withoutRequest(said: string): string | undefined {
  if (said === SUMMARY_REQUEST) return undefined;
  return said.endsWith(`\n\n${SUMMARY_REQUEST}`) ? said.slice(0, -SUMMARY_REQUEST.length - 2) : said;
}
