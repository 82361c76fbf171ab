import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ErasureReceipt } from '../../client/client.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { localTime, printable, table } from '../terminal.ts';
import { defineImport } from './users-import.ts';
import { defineLifetime } from './users-lifetime.ts';
import { definePreferences } from './users-preferences.ts';

const LOOK_EVERY_MS = 1_000;

interface EraseOptions extends ConnectionOptions {
  readonly yes?: true;
  readonly json?: true;
  /** In seconds. */
  readonly wait?: number;
}

export function define(command: Command): void {
  addConnectionOptions(
    command.command('export').description("Export all of a user's sessions with their exact token ids, as JSON."),
  )
    .argument('<user>', 'its id')
    .option('-o, --output <FILE>', 'write to a file')
    .action(exportUser);
  defineImport(command);
  definePreferences(command);
  defineLifetime(command, seconds);
  addErasureOptions(command.command('erase').description('Erase everything of a user, on every node, for good.'))
    .argument('<user>', 'its id')
    .addOption(new Option('-y, --yes', 'do not ask'))
    .action(erase);
  addErasureOptions(
    command.command('erasure').description('Say which nodes have erased a user, and which are awaited.'),
  )
    .argument('<user>', 'its id')
    .argument('<receipt>', 'as "users erase" has printed it')
    .action(showErasure);
}

function addErasureOptions(command: Command): Command {
  return addConnectionOptions(command)
    .option('--wait <SECONDS>', 'wait so long until every node has confirmed; else the exit status is 1', seconds)
    .option('--json', "print the node's answer");
}

async function exportUser(userId: string, options: ConnectionOptions & { output?: string }): Promise<void> {
  const exported = asLine(await connect(options).users.exportStream(userId));
  if (options.output === undefined) await pipeline(exported, process.stdout, { end: false });
  else await pipeline(exported, createWriteStream(options.output, { mode: 0o600 }));
}

async function* asLine(json: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array | string> {
  yield* json;
  yield '\n';
}

async function erase(userId: string, options: EraseOptions): Promise<void> {
  const { users } = connect(options);
  if (!options.yes && process.stdin.isTTY && process.stdout.isTTY) {
    const { confirm } = await import('@clack/prompts');
    const message = `Erase everything of user ${printable(userId)} for good?`;
    if ((await confirm({ message, initialValue: false })) !== true) return;
  }
  await confirmed(await users.erase(userId), options);
}

async function showErasure(userId: string, receiptId: string, options: EraseOptions): Promise<void> {
  await confirmed(await connect(options).users.erasure(userId, receiptId), options);
}

/** Waits where that is asked for, then prints. */
async function confirmed(first: ErasureReceipt, options: EraseOptions): Promise<void> {
  const { users } = connect(options);
  const endMs = performance.now() + (options.wait ?? 0) * 1000;
  let receipt = first;
  while (!receipt.complete && performance.now() < endMs) {
    await wait(LOOK_EVERY_MS);
    receipt = await users.erasure(first.userId, first.receiptId);
  }
  process.stdout.write(options.json ? `${JSON.stringify(receipt.wire)}\n` : readable(receipt));
  if (options.wait !== undefined && !receipt.complete) process.exitCode = EXIT_FAILURE;
}

function readable({ receiptId, userId, erasedAt, nodes }: ErasureReceipt): string {
  const awaited = (reason: string | undefined) => `awaited${reason === undefined ? '' : ` (${printable(reason)})`}`;
  const rows = nodes.map(({ node, confirmedAt, sessions, reason }) => [
    printable(node),
    confirmedAt === undefined ? awaited(reason) : localTime(confirmedAt),
    sessions ?? '-',
  ]);
  const head = `user ${printable(userId)} was erased at ${localTime(erasedAt)}, receipt ${printable(receiptId)}`;
  return `${head}\n${table(['NODE', 'CONFIRMED', 'SESSIONS'], rows)}\n`;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError('A number of seconds is needed.');
  return value;
}
