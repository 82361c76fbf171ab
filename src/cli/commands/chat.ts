import { type Command, Option } from 'commander';
import type { TurnOptions } from '../../client/turn/turn-request.ts';
import { Chat } from '../chat/chat.ts';
import { openChatInput } from '../chat/chat-input.ts';
import { addSessionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { paragraph } from '../help-layout.ts';

interface ChatOptions extends ConnectionOptions {
  readonly session?: string;
  readonly mode?: 'tokenized' | 'raw';
  readonly system?: string;
  readonly writeConcern?: 'local' | 'replicated';
  readonly reasoning?: TurnOptions['reasoning'];
}

/** A turn is worth more patience than a look: with growing waits, a node may take some seconds to come back. */
const TURN_RETRIES_MAX = 5;

export function define(command: Command): void {
  addSessionOptions(command, "which of the node's models (default: its first; with --session: whichever holds it)")
    .option('-s, --session <ID>', 'go on with a stored session')
    .addOption(
      new Option('-m, --mode <MODE>', "context mode of a new session (default: the node's)").choices([
        'tokenized',
        'raw',
      ]),
    )
    .option('--system <TEXT>', 'system message of a new session')
    .addOption(
      new Option(
        '--write-concern <CONCERN>',
        "whether a reply waits until a second node has its turn (default: the node's)",
      ).choices(['local', 'replicated']),
    )
    .addOption(
      new Option(
        '--reasoning <POLICY>',
        'what becomes of the reasoning in earlier replies (default: as-template)',
      ).choices(['as-template', 'keep', 'drop']),
    )
    .addHelpText(
      'after',
      paragraph(
        'Where stdin is not a terminal, each of its lines is a message; replies go to stdout, the rest to stderr.',
      ),
    )
    .action(run);
}

async function run(options: ChatOptions): Promise<void> {
  let chat: Chat | undefined;
  await connect(options).health();
  const client = connect(options, { retriesMax: TURN_RETRIES_MAX, onRetry: (event) => chat?.tellRetry(event) });
  const { mode, system, writeConcern, reasoning } = options;
  const sessionOptions = { mode, system, turnOptions: { writeConcern, reasoning } };
  const session =
    options.session === undefined
      ? client.session(sessionOptions)
      : await client.resume(options.session, sessionOptions);
  const input = openChatInput();
  try {
    const connectTo = (url: string) => connect({ ...options, url: [url] });
    chat = new Chat({ client, connectTo, session, sessionOptions, input });
    if (!(await chat.run())) process.exitCode = EXIT_FAILURE;
  } finally {
    input.close();
  }
}
