import type { RunningProcess } from '../processes.ts';

/** A server that is ready. It ends with the test process at the latest. */
export interface RunningServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves when the process has really gone. May be called twice, and after `kill`. */
  stop(): Promise<void>;
  /** Sends a signal: SIGKILL is a crash, SIGSTOP and SIGCONT a hang. Returns at once; `stop()` waits for the end. */
  kill(signal: NodeJS.Signals): void;
  /** The end of its log, for a test's failure message. */
  log(): string;
}

export function runningServer(server: RunningProcess, url: string): RunningServer {
  return {
    url,
    port: Number(new URL(url).port),
    pid: server.pid,
    async stop() {
      await server.stop();
    },
    kill: server.kill,
    log: server.log,
  };
}
