import { type Command, Option } from 'commander';
import type { RetryEvent } from '../../client/client.ts';
import { Chat } from '../chat/chat.ts';
import { openChatInput } from '../chat/chat-input.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { printable, styled } from '../terminal.ts';

interface ChatOptions extends ConnectionOptions {
  readonly session?: string;
  readonly mode?: 'tokenized' | 'raw';
  readonly system?: string;
}

export function define(command: Command): void {
  addConnectionOptions(command)
    .option('-s, --session <ID>', 'go on with a stored session')
    .addOption(
      new Option('-m, --mode <MODE>', "context mode of a new session (default: the node's)").choices([
        'tokenized',
        'raw',
      ]),
    )
    .option('--system <TEXT>', 'system message of a new session')
    .addHelpText(
      'after',
      '\nWhere stdin is not a terminal, each of its lines is a message; replies go to stdout, the rest to stderr.',
    )
    .action(chat);
}

async function chat(options: ChatOptions): Promise<void> {
  const client = connect(options, { onRetry: tellRetry });
  await client.health();
  const sessionOptions = { mode: options.mode, system: options.system };
  const session =
    options.session === undefined
      ? client.session(sessionOptions)
      : await client.resume(options.session, sessionOptions);
  const input = openChatInput();
  try {
    const succeeded = await new Chat({ client, session, sessionOptions, input }).run();
    if (!succeeded) process.exitCode = EXIT_FAILURE;
  } finally {
    input.close();
  }
}

function tellRetry({ error, node, waitMs }: RetryEvent): void {
  const next = waitMs === 0 ? `trying ${node}` : `trying ${node} in ${waitMs} ms`;
  process.stderr.write(`${styled('dim', `  ${printable(error.message)}; ${next}`, process.stderr)}\n`);
}
