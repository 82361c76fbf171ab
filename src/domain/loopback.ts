const OCTET = '(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)';
const LOOPBACK = new RegExp(`^(?:localhost|::1|\\[::1\\]|127(?:\\.${OCTET}){3})$`);

/**
 * Whether a host, IPv6 with or without brackets, is this machine for certain: what listens there is safe without
 * certificates. A name other than localhost can be made to point anywhere, so it counts as another machine.
 */
export function isLoopbackHost(host: string): boolean {
  return LOOPBACK.test(host);
}
