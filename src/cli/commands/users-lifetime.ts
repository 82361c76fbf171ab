import { type Command, Option } from 'commander';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';

interface LifetimeOptions extends ConnectionOptions {
  /** In seconds. */
  readonly set?: number;
  readonly clear?: true;
}

/** Adds `users lifetime`. */
export function defineLifetime(command: Command, seconds: (text: string) => number): void {
  addConnectionOptions(
    command.command('lifetime').description('Print, set or take away how long what a user says is kept.'),
  )
    .argument('<user>', 'its id')
    .addOption(
      new Option('--set <SECONDS>', 'how long a session of its may be idle').argParser(seconds).conflicts('clear'),
    )
    .addOption(new Option('--clear', "as long as the node's default is"))
    .action(lifetime);
}

async function lifetime(userId: string, options: LifetimeOptions): Promise<void> {
  const { users } = connect(options);
  const isSaid = options.clear || options.set !== undefined;
  const ttlSeconds = isSaid ? await users.setLifetime(userId, options.set) : await users.lifetime(userId);
  process.stdout.write(`${ttlSeconds === undefined ? "as the node's default is" : `${ttlSeconds} s`}\n`);
}
