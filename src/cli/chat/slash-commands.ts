import { DiscedgeClientError } from '../../client/client.ts';
import type { Conversation } from './conversation.ts';

interface SlashCommand {
  readonly name: string;
  readonly argument?: string;
  readonly what: string;
  run(chat: Conversation, argument: string): void | Promise<void>;
}

const SLASH_COMMANDS: readonly SlashCommand[] = [
  { name: '/move', argument: 'URL', what: 'roam: the next turn goes to that edge node', run: move },
  { name: '/session', what: "the session's id, turn, context id and node", run: tellSession },
  { name: '/history', what: 'the turns so far, as the node has stored them', run: showHistory },
  { name: '/fork', argument: '[TURN]', what: 'go on in a new session that begins as this one did', run: fork },
  { name: '/new', what: 'begin a new session', run: beginAnew },
  { name: '/help', what: 'this list', run: help },
  { name: '/quit', what: 'leave; so does Ctrl-D', run: (chat) => chat.quit() },
];

/** Runs a line that begins with a slash. Trouble with a node is told, not thrown. */
export async function runSlashCommand(chat: Conversation, line: string): Promise<void> {
  const [name, ...rest] = line.split(/\s+/);
  const command = SLASH_COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) {
    chat.warn(`There is no command ${name}; /help lists them.`);
    return;
  }
  try {
    await command.run(chat, rest.join(' '));
  } catch (error) {
    if (!(error instanceof DiscedgeClientError)) throw error;
    chat.warn(error.message);
  }
}

function help(chat: Conversation): void {
  for (const { name, argument = '', what } of SLASH_COMMANDS)
    chat.note(`  ${`${name} ${argument}`.padEnd(12)} ${what}`);
}

async function move(chat: Conversation, url: string): Promise<void> {
  if (url === '') {
    chat.warn('Name the node to go to: /move http://HOST:PORT');
    return;
  }
  // A client of its own, so that a node that is not there is not fallen back from, and is found out now.
  const { node } = (await chat.connectTo(url).props()) as { node?: string };
  chat.session.moveTo(url);
  chat.note(`The next turn goes to node ${node ?? '?'} at ${chat.session.node}.`);
}

function tellSession({ session, note }: Conversation): void {
  const { sessionId, turn, contextId = 'none yet', node } = session.state;
  note(`  session ${sessionId}\n  turn    ${turn}\n  context ${contextId}\n  node    ${node}`);
}

async function showHistory(chat: Conversation): Promise<void> {
  if (chat.session.turn === 0) {
    chat.note('Nothing has been said yet.');
    return;
  }
  for (const { turn, user, reply, textError, node } of await chat.session.history())
    chat.note(`${turn} › ${textError === undefined ? `${user}\n${reply}` : `no text: ${textError}`}  [${node}]`);
}

async function fork(chat: Conversation, argument: string): Promise<void> {
  const { session } = chat;
  const turn = argument === '' ? session.turn : Number(argument);
  if (!(Number.isInteger(turn) && turn >= 1 && turn <= session.turn)) {
    chat.warn(session.turn === 0 ? 'Nothing has been said yet.' : `Name a turn from 1 to ${session.turn}: /fork TURN`);
    return;
  }
  chat.goTo(await session.fork({ turn }));
  chat.note(`Session ${chat.session.sessionId}, with turns 1 to ${turn} of ${session.sessionId}.`);
}

function beginAnew(chat: Conversation): void {
  chat.newSession();
  chat.note('A new session.');
}
