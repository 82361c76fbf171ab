import type { Environment } from '../../../environment/environment.ts';

/** A scanner or a peer with a wrong certificate would otherwise fill the log: a kind is reported once in this time. */
const REPORT_INTERVAL_MS = 60_000;

/** A line of the log. */
const WORDS_LENGTH_MAX = 120;

/** nats-server's lines hold subjects, addresses and names, so only what kind of trouble they tell of is passed on. */
const KINDS: ReadonlyArray<readonly [kind: string, pattern: RegExp]> = [
  ['slow_consumer', /slow consumer|write deadline/i],
  ['permissions', /(permissions|publish|subscription) violation/i],
  ['tls', /tls|x509|certificate/i],
  ['authorization', /authentication|authorization|user required from cert/i],
  ['storage', /jetstream|no space|store|stream|consumer/i],
  ['leaf_link', /leafnode/i],
  ['connection', /stale|connection|readloop|flush|i\/o timeout|reset by peer|broken pipe|parser|protocol/i],
  ['limits', /maximum|exceed|too many|limit/i],
];

/** Gives a function that takes each line of a server's log and reports warnings and errors, by kind and number. */
export function serverWarnings({ clock, logger }: Environment): (line: string) => void {
  const waiting = new Map<string, number>();
  const report = (kind: string, lines: number, says?: string) => {
    logger.warn('nats_server_warning', { kind, lines, ...(says !== undefined && { says }) });
    waiting.set(kind, 0);
    clock.after(REPORT_INTERVAL_MS, () => {
      const more = waiting.get(kind) ?? 0;
      waiting.delete(kind);
      if (more > 0) report(kind, more);
    });
  };
  return (line) => {
    if (!/^\[\d+\] [\d/]+ [\d:.]+ \[(WRN|ERR|FTL)\]/.test(line)) return;
    const kind = KINDS.find(([, pattern]) => pattern.test(line))?.[0] ?? 'other';
    const lines = waiting.get(kind);
    if (lines === undefined) report(kind, 1, kind === 'other' ? wordsOf(line) : undefined);
    else waiting.set(kind, lines + 1);
  };
}

/** Of a line of no known kind, what it says in plain words, without what may be a subject, an address or a name. */
function wordsOf(line: string): string {
  return line
    .split(/\s+/)
    .filter((word) => /^[a-z]+[,.:;]?$/i.test(word))
    .join(' ')
    .slice(0, WORDS_LENGTH_MAX);
}
