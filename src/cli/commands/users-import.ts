import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import type { RestoredPart, RestoredUser, Wire } from '../../client/client.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { type JsonBounds, jsonMembers } from '../../domain/json/json-members.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { printable } from '../terminal.ts';

/** Of JSON in one request, but for one that a single session makes longer: it takes far less than the minute that a request may take. */
const PART_CHARACTERS = 1024 * 1024;

/** Adds `users import`. */
export function defineImport(command: Command): void {
  addConnectionOptions(
    command.command('import').description('Take back what was exported of a user; for --user where that is given.'),
  )
    .argument('<file>', 'what "users export" has written')
    .action(importUser);
}

/** The file is the user's own, and the node that takes it has bounds. */
const UNBOUNDED: JsonBounds = { bytesMax: Number.POSITIVE_INFINITY, weightMax: Number.POSITIVE_INFINITY };

/** What is refused keeps nothing else out, and the exit status is 1. */
async function importUser(path: string, options: ConnectionOptions): Promise<void> {
  const { users } = connect(options);
  let user = options.user;
  for await (const part of partsOf(path)) {
    user ??= part.user_id as string | undefined;
    if (typeof user !== 'string') throw notExported(path);
    print(await users.import(user, part));
  }
}

/** The file as a node takes it, a part at a time in memory; what is said of the user is in the first. Throws `config_invalid`. */
async function* partsOf(path: string): AsyncGenerator<Wire> {
  let part: Wire = {};
  let sessions: unknown[] = [];
  let characters = 0;
  for await (const { name, value } of membersIn(path)) {
    if (name !== 'sessions') {
      part = { ...part, [name]: value };
      continue;
    }
    sessions.push(value);
    characters += JSON.stringify(value).length;
    if (characters < PART_CHARACTERS) continue;
    yield { ...part, sessions };
    [part, sessions, characters] = [{}, [], 0];
  }
  if (sessions.length > 0 || Object.keys(part).length > 0) yield { ...part, sessions };
}

async function* membersIn(path: string): ReturnType<typeof jsonMembers> {
  const file = createReadStream(path);
  try {
    yield* jsonMembers(file[Symbol.asyncIterator](), { list: 'sessions', boundsOf: () => UNBOUNDED });
  } catch (error) {
    throw notExported(path, error);
  } finally {
    file.destroy();
  }
}

function notExported(path: string, cause?: unknown): DiscedgeError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new DiscedgeError('config_invalid', `${path} is not what "users export" writes${why}`, { cause });
}

function print({ preferences, lifetime, sessions }: RestoredUser): void {
  if (preferences !== undefined) say('what the user prefers', preferences);
  if (lifetime !== undefined) say('how long its sessions are kept', lifetime);
  for (const session of sessions) {
    const upTo = session.turn === undefined ? '' : `, up to turn ${session.turn}`;
    say(printable(session.sessionId ?? 'a session'), session, upTo);
  }
}

function say(what: string, { state, error }: RestoredPart, upTo = ''): void {
  if (state === 'imported') process.stdout.write(`imported ${what}${upTo}\n`);
  else if (state === 'already_here') process.stdout.write(`${what} was there already\n`);
  else {
    process.stderr.write(`discedge: ${what}: ${printable(error?.message ?? 'refused')}\n`);
    process.exitCode = EXIT_FAILURE;
  }
}
