import { DiscedgeClientError } from '../client/client.ts';
import { DiscedgeError } from '../domain/errors.ts';

/** Exit statuses: a script can tell a call that failed from a wrong call. */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

/** Prints why a command failed, and what to do about it where that is known; returns the exit status. */
export function explainFailure(error: unknown): number {
  const lines = linesOf(error);
  process.stderr.write(`${lines.map((line) => `discedge: ${line}`).join('\n')}\n`);
  return error instanceof DiscedgeError && error.code === 'config_invalid' ? EXIT_USAGE : EXIT_FAILURE;
}

function linesOf(error: unknown): string[] {
  if (error instanceof DiscedgeError) {
    const lines = error.message.split('\n');
    if (error.code === 'config_invalid')
      lines.push('see --help of the command, and "discedge serve --help" for all settings');
    if (error.code === 'llm_unavailable')
      lines.push('start the server that --llm names first, as the message says, or choose another with --llm');
    if (error.code === 'model_unusable') lines.push('"discedge doctor" says what this machine has and lacks');
    return lines;
  }
  if (error instanceof DiscedgeClientError) {
    const advice = adviceFor(error);
    return advice === undefined ? [error.message] : [error.message, advice];
  }
  // Anything else is a defect, and then the stack is what helps.
  return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
}

function adviceFor({ code, status = 0, requestId }: DiscedgeClientError): string | undefined {
  switch (code) {
    case 'node_unreachable':
      return 'start a node with "discedge serve", or name a running one, http://HOST:PORT (--url; of a scenario, --node)';
    case 'unauthorized':
      return 'name the file that holds a key of yours with --api-key-file; "discedge keys create" makes one, at the node';
    case 'session_not_found':
      return '"discedge sessions list" shows the sessions that are there; a session is found under its own --user only';
    default:
      return requestId === undefined || status < 500 ? undefined : `the node's log has more under request ${requestId}`;
  }
}
