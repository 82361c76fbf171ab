import { Command, CommanderError } from 'commander';
import { VERSION } from '../edge-node/version.ts';
import type { CommandEntry } from './command-entry.ts';
import { EVALUATION_COMMANDS } from './evaluation-commands.ts';
import { EXIT_USAGE, explainFailure } from './failure.ts';
import { HELP_LAYOUT } from './help-layout.ts';

const COMMANDS: readonly CommandEntry[] = [
  { name: 'serve', description: 'Start an edge node.', load: () => import('./commands/serve.ts') },
  { name: 'chat', description: 'Talk to an edge node.', load: () => import('./commands/chat.ts') },
  {
    name: 'sessions',
    description: "List, show, export, import or delete an edge node's stored sessions.",
    load: () => import('./commands/sessions.ts'),
  },
  {
    name: 'users',
    description: 'Export, import or erase users as a whole.',
    load: () => import('./commands/users.ts'),
  },
  {
    name: 'nodes',
    description: 'List the nodes of a cluster, as one of them sees them; wait until one may go.',
    load: () => import('./commands/nodes.ts'),
  },
  {
    name: 'doctor',
    description: 'Say what an edge node would need on this machine and does not find.',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'template',
    description: 'Say what conversations under a chat template can count on.',
    load: () => import('./commands/template.ts'),
  },
  {
    name: 'certs',
    description: 'Make certificates for edge nodes that replicate with each other.',
    load: () => import('./commands/certs.ts'),
  },
  {
    name: 'keys',
    description: 'Make, list and revoke the API keys of an edge node.',
    load: () => import('./commands/keys.ts'),
  },
  {
    name: 'encryption',
    description: "Make and change the keys that a node's files are encrypted with.",
    load: () => import('./commands/encryption.ts'),
  },
  ...EVALUATION_COMMANDS,
];

/** Runs one command line to its end, and sets the process's exit status unless that is 0. Never rejects. */
export async function runCli(args: readonly string[]): Promise<void> {
  const program = new Command('discedge')
    .description('Distributed context management for large language models at the edge.')
    .version(VERSION, '-V, --version')
    .addHelpText('after', '\nBegin with "discedge serve", then "discedge chat" in another terminal.')
    .showHelpAfterError('(see --help)')
    .configureHelp(HELP_LAYOUT)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'discedge: ')) })
    .exitOverride();
  const called = calledCommand(args);
  try {
    for (const { name, description, load } of COMMANDS) {
      const command = program.command(name).description(description);
      if (name === called) (await load()).define(command);
    }
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // Commander has printed what it has to say.
    if (!(error instanceof CommanderError)) process.exitCode = explainFailure(error);
    else if (error.exitCode !== 0) process.exitCode = EXIT_USAGE;
  }
}

/** What stands before it are flags without a value, or "help". */
function calledCommand(args: readonly string[]): string | undefined {
  return args.find((arg) => !arg.startsWith('-') && arg !== 'help');
}
