import type { Command } from 'commander';

/** A command as `--help` lists it. */
export interface CommandEntry {
  readonly name: string;
  readonly description: string;
  /** Loaded only when the command is called: `--help` and `sessions list` need neither schema nor YAML parser. */
  readonly load: () => Promise<CommandModule>;
}

export interface CommandModule {
  /** Gives the command its arguments, options and action. */
  define(command: Command): void;
}
