/** A program as `spawn(command, [...argsPrefix, ...args], { env: { ...process.env, ...env } })` takes it. */
export interface ServerProgram {
  readonly command: string;
  readonly argsPrefix: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where it comes from, in words. */
  readonly origin: string;
}

export const NATS_GO_PACKAGE = 'github.com/nats-io/nats-server/v2@latest';

/** The servers that tests and benchmarks use, and how people get them. */
export const SERVERS = {
  'llama-server': {
    override: 'DISCEDGE_LLAMA_SERVER',
    hints: ['brew install llama.cpp', 'apt install llama.cpp-tools (Debian sid)', 'build llama.cpp from source'],
  },
  'llama-quantize': {
    override: 'DISCEDGE_LLAMA_QUANTIZE',
    hints: ['brew install llama.cpp', 'apt install llama.cpp-tools (Debian sid)', 'build llama.cpp from source'],
  },
  'nats-server': {
    override: 'DISCEDGE_NATS_SERVER',
    hints: ['brew install nats-server', 'apt install nats-server', `go install ${NATS_GO_PACKAGE}`],
  },
} as const;

export type ServerName = keyof typeof SERVERS;
export const serverNames = Object.keys(SERVERS) as ServerName[];

/** Says which servers are missing and how to get them. It is advice, so its stack is left out. */
export class ServersMissing extends Error {
  override readonly name = 'ServersMissing';
  constructor(message: string) {
    super(message);
    this.stack = `${this.name}: ${message}`;
  }
}
