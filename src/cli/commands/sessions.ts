import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  DiscedgeClientError,
  type SessionPage,
  type SessionSummary,
  type StoredSession,
  type StoredTurn,
} from '../../client/client.ts';
import { addConnectionOptions, addSessionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { exportedIn, importSessions } from '../session-import.ts';
import { approximateBytes, localTime, printable, styled, table } from '../terminal.ts';

interface JsonOptions extends ConnectionOptions {
  readonly json?: true;
}

/** Sessions asked for at a time. */
const PAGE_SESSIONS = 100;

export function define(command: Command): void {
  addSessionOptions(command.command('list').description('List the sessions a node holds.'))
    .option('--limit <SESSIONS>', 'list at most so many', positiveInteger)
    .option('--json', "print the node's answer, one session a line")
    .action(list);
  addSessionOptions(command.command('show').description('Show a session, turn by turn, with its branches.'))
    .argument('<session>', 'its id')
    .option('--json', "print the node's answer")
    .action(show);
  addSessionOptions(
    command.command('fork').description('Begin a new session with the first turns of one; neither feels the other.'),
  )
    .argument('<session>', 'its id')
    .requiredOption('--turn <TURN>', 'the last turn that the new session is to have', positiveInteger)
    .option('--context <ID>', 'a turn of the branch that is meant, as `show` names it (default: the main line)')
    .option('--as <ID>', 'id of the new session (default: a new one)')
    .option('--ttl <SECONDS>', "how long the new session lives (default: the node's)", positiveInteger)
    .option('--json', "print the node's answer")
    .action(fork);
  addSessionOptions(
    command.command('move').description('Let a session go on with another model of the node, from its texts.'),
  )
    .argument('<session>', 'its id')
    .argument('<model>', 'the model to go on with')
    .option('--as <ID>', 'id of the session there (default: a new one)')
    .option('--ttl <SECONDS>', "how long it lives there (default: the node's)", positiveInteger)
    .option('--delete', 'delete it where it was')
    .option('--json', "print the node's answer")
    .action(move);
  addSessionOptions(
    command.command('export').description('Export sessions with their exact token ids, as JSON, one a line.'),
  )
    .argument('[sessions...]', 'their ids; all of the user when left out')
    .option('-o, --output <FILE>', 'write to a file')
    .action(exportSessions);
  addConnectionOptions(
    command.command('import').description('Take back sessions that were exported, under the ids that they had.'),
  )
    .argument('<file>', 'what "sessions export" has written')
    .action(async (path: string, options: ConnectionOptions) => importSessions(await exportedIn(path), options));
  addSessionOptions(command.command('delete').description('Delete sessions for good, on every node.'))
    .argument('<sessions...>', 'their ids')
    .addOption(new Option('-y, --yes', 'do not ask'))
    .action(deleteSessions);
}

async function list(options: JsonOptions & { limit?: number }): Promise<void> {
  const sessions: SessionSummary[] = [];
  for await (const session of everySession(options)) {
    if (sessions.length === options.limit) break;
    sessions.push(session);
  }
  if (options.json) {
    for (const { wire } of sessions) process.stdout.write(`${JSON.stringify(wire)}\n`);
  } else if (sessions.length === 0) {
    process.stdout.write(`no sessions of user ${options.user ?? 'anonymous'} here\n`);
  } else {
    // Said where it tells anything.
    const several = new Set(sessions.map(({ model }) => model)).size > 1;
    const rows = sessions.map(({ sessionId, model, mode, turns, bytes, updatedAt, expiresAt }) => [
      printable(sessionId),
      ...(several ? [printable(model ?? '-')] : []),
      mode,
      turns,
      approximateBytes(bytes),
      localTime(updatedAt),
      localTime(expiresAt),
    ]);
    const header = ['SESSION', ...(several ? ['MODEL'] : []), 'MODE', 'TURNS', 'SIZE', 'LATEST TURN', 'EXPIRES'];
    process.stdout.write(`${table(header, rows)}\n`);
  }
}

async function show(sessionId: string, options: JsonOptions): Promise<void> {
  const session = await naming(sessionId, connect(options).sessions.show(sessionId));
  process.stdout.write(options.json ? `${JSON.stringify(session.wire)}\n` : readable(session));
}

interface ForkCommandOptions extends JsonOptions {
  readonly turn: number;
  readonly context?: string;
  readonly as?: string;
  readonly ttl?: number;
}

async function fork(sessionId: string, options: ForkCommandOptions): Promise<void> {
  const { turn, context: contextId, as: newSessionId, ttl: ttlSeconds } = options;
  const { sessions } = connect(options);
  const forked = await naming(sessionId, sessions.fork(sessionId, { turn, contextId, newSessionId, ttlSeconds }));
  process.stdout.write(
    options.json
      ? `${JSON.stringify(forked.wire)}\n`
      : `session ${printable(forked.sessionId)} begins with turns 1 to ${forked.turn} of ${printable(sessionId)}\n`,
  );
}

interface MoveCommandOptions extends JsonOptions {
  readonly as?: string;
  readonly ttl?: number;
  readonly delete?: true;
}

async function move(sessionId: string, model: string, options: MoveCommandOptions): Promise<void> {
  const { as: newSessionId, ttl: ttlSeconds, delete: deletes } = options;
  const { sessions } = connect(options);
  const moved = await naming(sessionId, sessions.move(sessionId, { model, newSessionId, ttlSeconds, delete: deletes }));
  if (options.json) {
    process.stdout.write(`${JSON.stringify(moved.wire)}\n`);
    return;
  }
  const left = moved.notCarried.map((what) => what.replaceAll('_', ' ')).join(', ');
  process.stdout.write(
    `session ${printable(moved.sessionId)} goes on with ${printable(moved.model)} after turn ${moved.turn}\nnot carried over: ${printable(left)}\n`,
  );
}

async function exportSessions(ids: readonly string[], options: ConnectionOptions & { output?: string }): Promise<void> {
  const client = connect(options);
  const lines: string[] = [];
  const wanted = ids.length > 0 ? ids : everySession(options);
  for await (const entry of wanted) {
    const id = typeof entry === 'string' ? entry : entry.sessionId;
    const line = `${JSON.stringify(await naming(id, client.sessions.export(id)))}\n`;
    if (options.output === undefined) process.stdout.write(line);
    else lines.push(line);
  }
  if (options.output !== undefined) await writeFile(options.output, lines);
}

async function deleteSessions(ids: readonly string[], options: ConnectionOptions & { yes?: true }): Promise<void> {
  const client = connect(options);
  if (!options.yes && process.stdin.isTTY && process.stdout.isTTY) {
    const { confirm } = await import('@clack/prompts');
    const what = ids.length === 1 ? `session ${printable(ids[0] as string)}` : `${ids.length} sessions`;
    const agreed = await confirm({ message: `Delete ${what} for good?`, initialValue: false });
    if (agreed !== true) return;
  }
  for (const id of ids) {
    await naming(id, client.sessions.delete(id));
    process.stdout.write(`deleted ${printable(id)}\n`);
  }
}

/** Of several sessions, says which one is not there. */
async function naming<T>(sessionId: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof DiscedgeClientError) || !/^session_(not_found|deleted)$/.test(error.code)) throw error;
    throw new DiscedgeClientError(`${printable(sessionId)}: ${error.message}`, { ...error, cause: error });
  }
}

async function* everySession(options: ConnectionOptions): AsyncGenerator<SessionSummary> {
  const { sessions } = connect(options);
  let page: SessionPage | undefined;
  do {
    page = await sessions.list({ limit: PAGE_SESSIONS, ...(page?.next === undefined ? {} : { after: page.next }) });
    yield* page.sessions;
  } while (page.next !== undefined);
}

function readable({ sessionId, userId, mode, expiresAt, turns, branches }: StoredSession): string {
  const count = [
    `${turns.length} turns`,
    ...(branches.length === 0 ? [] : [`${branches.length} ${branches.length === 1 ? 'branch' : 'branches'}`]),
  ].join(' and ');
  const head = `session ${printable(sessionId)} of ${printable(userId)}, ${mode}, ${count}, until ${localTime(expiresAt)}`;
  const beside = branches.flatMap(({ contextId, turn, partsAfter, turns: own }) => {
    const where = partsAfter === 0 ? 'from the beginning' : `from turn ${partsAfter} on`;
    return [`${styled('yellow', `beside it ${where}, to turn ${turn}: ${contextId}`)}\n`, ...own.map(readableTurn)];
  });
  return `${styled('dim', head)}\n\n${[...turns.map(readableTurn), ...beside].join('\n')}`;
}

function readableTurn(stored: StoredTurn): string {
  const { turn, user, reply, textError, node, writtenAt, promptTokens, replyTokens } = stored;
  const tokens = replyTokens === undefined ? '' : ` · ${promptTokens} + ${replyTokens} tokens`;
  const title = `turn ${turn} · ${localTime(writtenAt)} · ${printable(node)}${tokens}`;
  if (textError !== undefined)
    return `${styled('dim', title)}\n${styled('yellow', `no text: ${printable(textError)}`)}\n`;
  return `${styled('dim', title)}\n${styled('bold', `› ${printable(user)}`)}\n${printable(reply)}\n`;
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.');
  return Number(text);
}
