import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ClientOptions, DiscedgeClient } from '../client/client.ts';
import { trustingFetch } from './trusting-fetch.ts';

/** Where `discedge serve` listens when it is not told otherwise. */
export const DEFAULT_URL = 'http://127.0.0.1:8081';

export interface ConnectionOptions {
  readonly url: readonly string[];
  readonly user?: string;
  readonly model?: string;
  readonly apiKeyFile?: string;
  readonly ca?: string;
}

/** Adds `--url` and `--user` to a command that talks to a running node. */
export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(
      new Option('-u, --url <URL...>', 'the edge node to talk to; several: the others are for when it is gone').default(
        [DEFAULT_URL],
        DEFAULT_URL,
      ),
    )
    .option('--user <ID>', "whose sessions, for who acts for others (default: the key's, else anonymous)")
    .addOption(new Option('--api-key-file <FILE>', 'file with an API key of the node').argParser(secretIn))
    .addOption(authorityOption());
}

/** Of the certificates of nodes that serve HTTPS. */
export function authorityOption(): Option {
  return new Option('--ca <FILE>', 'file with the authority that the certificates of https nodes are of')
    .env('DISCEDGE_CA_FILE')
    .argParser(contentOf);
}

/** As {@link addConnectionOptions}, for a command that means the sessions of one model, or of all. */
export function addSessionOptions(
  command: Command,
  described = 'only sessions of this model (default: of all)',
): Command {
  return addConnectionOptions(command).option('--model <NAME>', described);
}

/** Asks each node once, unless told otherwise: who waits at a prompt would rather know at once. */
export function connect(
  { url, user, model, apiKeyFile: apiKey, ca }: ConnectionOptions,
  options: Partial<ClientOptions> = {},
): DiscedgeClient {
  const fetch = ca === undefined ? undefined : trustingFetch(ca);
  return new DiscedgeClient({ nodes: url, userId: user, model, apiKey, fetch, retriesMax: url.length - 1, ...options });
}

/** The secret itself is never on a command line, which everyone on the machine can read. */
function secretIn(path: string): string {
  return contentOf(path).trim();
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}`);
  }
}
