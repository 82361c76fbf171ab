import { hostname } from 'node:os';

/** Where an HTTP server listens. */
export interface ListenAddress {
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** Parses `HOST:PORT`, with IPv6 in brackets; `undefined` when it is not that. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** `HOST:PORT`, with IPv6 in brackets. */
export function hostAndPort({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** URL origin under which a client reaches the address. */
export function originOf(address: ListenAddress, scheme: 'http' | 'https' = 'http'): string {
  return `${scheme}://${hostAndPort(address)}`;
}

/** Under which name others look for what listens there. */
export function hostForOthers(address: ListenAddress): string {
  return isWildcard(address) ? hostname() : address.host;
}

/** Under which name a client on this machine finds it. */
export function hostHere(address: ListenAddress): string {
  if (!isWildcard(address)) return address.host;
  return address.host === '::' ? '::1' : '127.0.0.1';
}

/** Whether it stands for every address of the machine, and so cannot be told to others. */
export function isWildcard({ host }: ListenAddress): boolean {
  return host === '0.0.0.0' || host === '::';
}
