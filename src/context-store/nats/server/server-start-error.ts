import { DiscedgeError } from '../../../domain/errors.ts';
import type { LaunchFailed } from './server-launch.ts';

/** What a user can do about a start that failed, from what the server said. */
export function startError(failure: LaunchFailed): DiscedgeError {
  const inUse = failure.lines.find((line) => /address already in use/.test(line));
  if (inUse !== undefined) {
    const address = /listen tcp ([^\s]+): bind/.exec(inUse)?.[1] ?? 'its address';
    return new DiscedgeError(
      'port_in_use',
      `nats-server cannot listen at ${address}: another process does; stop it or choose another address (--nats-listen, --hub-listen)`,
      { cause: failure },
    );
  }
  if (failure.lines.some((line) => line.startsWith('nats-server: '))) return refusedConfig(failure.lines.join('\n'));
  const last = failure.lines.at(-1)?.replace(/^\[\d+\] [\d/]+ [\d:.]+ /, '') ?? 'it said nothing';
  return new DiscedgeError('nats_unavailable', `${failure.message}: ${last}`, { cause: failure });
}

/** Whether the server could not start with the data that it found. */
export function isStoreTrouble(failure: LaunchFailed): boolean {
  return failure.lines.some((line) => line.includes("Can't start JetStream"));
}

/** `config_invalid` with the reason that the server printed. */
export function refusedConfig(output: string): DiscedgeError {
  const reason = /^nats-server: (.*)/m.exec(output)?.[1] ?? 'it does not say why';
  return new DiscedgeError('config_invalid', `nats-server rejects its configuration: ${reason}`);
}
