import { readFile } from 'node:fs/promises';
import { DiscedgeClientError, type Wire } from '../client/client.ts';
import { DiscedgeError } from '../domain/errors.ts';
import { type ConnectionOptions, connect } from './connection.ts';
import { EXIT_FAILURE } from './failure.ts';
import { printable } from './terminal.ts';

/** The JSON of each line of a file. Throws `config_invalid`. */
export async function exportedIn(path: string): Promise<readonly Wire[]> {
  try {
    const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '');
    return lines.map((line) => JSON.parse(line));
  } catch (error) {
    throw new DiscedgeError('config_invalid', `${path} has no exported sessions: ${(error as Error).message}`);
  }
}

/** One after the other; one that is refused keeps none of the others out, and the exit status is 1. */
export async function importSessions(sessions: readonly Wire[], options: ConnectionOptions): Promise<void> {
  const client = connect(options);
  for (const session of sessions) {
    const id = printable(String(session.session_id));
    try {
      const { turn, replayed } = await client.sessions.import(session);
      process.stdout.write(replayed ? `${id} was there already\n` : `imported ${id}, up to turn ${turn}\n`);
    } catch (error) {
      if (!(error instanceof DiscedgeClientError && error.status !== undefined && error.status < 500)) throw error;
      process.stderr.write(`discedge: ${id}: ${error.message}\n`);
      process.exitCode = EXIT_FAILURE;
    }
  }
}
