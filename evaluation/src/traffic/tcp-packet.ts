import type { CapturedFrame } from './pcap-stream.ts';

/** What a TCP packet is there for; a packet with several of these flags is named for the first. */
export type PacketType = 'rst' | 'syn' | 'fin' | 'data' | 'ack';

export interface TcpPacket {
  readonly timestampUs: number;
  readonly sourceIp: string;
  readonly sourcePort: number;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly type: PacketType;
  /** As an Ethernet frame, without preamble and checksum: what tcpdump and tshark call the frame's length. */
  readonly bytes: number;
  /** What TCP carries, also when it carries it a second time; the rest of `bytes` are headers. */
  readonly payloadBytes: number;
  /** TCP's number of the first byte of payload: the same again is a retransmission. */
  readonly sequence: number;
  /** Where several interfaces are captured together and the system tells. */
  readonly interfaceIndex: number | undefined;
}

const ETHERNET_BYTES = 14;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const VLAN_TAGS: readonly number[] = [0x8100, 0x88a8];
const TCP = 6;
/** IPv6 headers between the first and TCP's that say their length in units of 8 bytes beyond the first 8. */
const IPV6_EXTENSIONS: readonly number[] = [0, 43, 60];
const IPV6_FRAGMENT = 44;
const FLAGS = { fin: 0x01, syn: 0x02, rst: 0x04 };

/** Where IP begins in a frame. */
interface IpPlace {
  readonly at: number;
  readonly interfaceIndex?: number;
}

/**
 * The TCP packet in a frame; `undefined` when there is none, or too little of it was captured to tell. Knows Ethernet
 * with VLAN tags, loopback as BSD has it, bare IP, and both forms of Linux's `any` (www.tcpdump.org/linktypes.html).
 */
export function tcpPacketOf(frame: CapturedFrame): TcpPacket | undefined {
  const place = ipPlace(frame);
  if (place === undefined || frame.bytes.length <= place.at) return undefined;
  const ip = frame.bytes.subarray(place.at);
  const wireBytes = frame.originalBytes - place.at;
  const found = (ip[0] as number) >> 4 === 6 ? inIpv6(ip, wireBytes) : inIpv4(ip, wireBytes);
  if (found === undefined || ip.length < found.tcpAt + 14) return undefined;
  const tcp = ip.subarray(found.tcpAt);
  const headerBytes = ((tcp[12] as number) >> 4) * 4;
  const payloadBytes = found.ipBytes - found.tcpAt - headerBytes;
  if (payloadBytes < 0) return undefined;
  return {
    timestampUs: frame.timestampUs,
    sourceIp: found.sourceIp,
    sourcePort: tcp.readUInt16BE(0),
    destinationIp: found.destinationIp,
    destinationPort: tcp.readUInt16BE(2),
    type: typeOf(tcp[13] as number, payloadBytes),
    bytes: frame.linkType === LINK_ETHERNET ? frame.originalBytes : ETHERNET_BYTES + found.ipBytes,
    payloadBytes,
    sequence: tcp.readUInt32BE(4),
    interfaceIndex: place.interfaceIndex,
  };
}

const LINK_ETHERNET = 1;

function ipPlace({ linkType, bytes }: CapturedFrame): IpPlace | undefined {
  switch (linkType) {
    case LINK_ETHERNET:
      return afterEtherType(bytes, 12);
    // BSD loopback: a protocol family of 4 bytes in the order of the machine or of the network.
    case 0:
    case 108:
      return { at: 4 };
    case 12:
    case 14:
    case 101:
    case 228:
    case 229:
      return { at: 0 };
    // Linux "cooked": the protocol at the end of 16 bytes, or at the beginning of 20.
    case 113:
      return afterEtherType(bytes, 14);
    case 276: {
      if (bytes.length < 20 || !isIp(bytes.readUInt16BE(0))) return undefined;
      return { at: 20, interfaceIndex: bytes.readUInt32BE(4) };
    }
    default:
      return undefined;
  }
}

function afterEtherType(bytes: Buffer, typeAt: number): IpPlace | undefined {
  let at = typeAt;
  while (bytes.length >= at + 2 && VLAN_TAGS.includes(bytes.readUInt16BE(at))) at += 4;
  return bytes.length >= at + 2 && isIp(bytes.readUInt16BE(at)) ? { at: at + 2 } : undefined;
}

function isIp(etherType: number): boolean {
  return etherType === IPV4 || etherType === IPV6;
}

interface IpHeader {
  readonly sourceIp: string;
  readonly destinationIp: string;
  /** Length of the whole IP packet. */
  readonly ipBytes: number;
  readonly tcpAt: number;
}

function inIpv4(ip: Buffer, wireBytes: number): IpHeader | undefined {
  if (ip.length < 20 || ip[9] !== TCP) return undefined;
  // Only the first fragment has TCP's header.
  if ((ip.readUInt16BE(6) & 0x1fff) !== 0) return undefined;
  return {
    sourceIp: ip.subarray(12, 16).join('.'),
    destinationIp: ip.subarray(16, 20).join('.'),
    // The length of a packet that the network card is yet to cut up may not fit, and is 0 then.
    ipBytes: ip.readUInt16BE(2) || wireBytes,
    tcpAt: ((ip[0] as number) & 0x0f) * 4,
  };
}

function inIpv6(ip: Buffer, wireBytes: number): IpHeader | undefined {
  if (ip.length < 40) return undefined;
  let next = ip[6] as number;
  let at = 40;
  while (next !== TCP) {
    if (ip.length < at + 8) return undefined;
    if (next === IPV6_FRAGMENT) {
      if (ip.readUInt16BE(at + 2) >> 3 !== 0) return undefined;
      [next, at] = [ip[at] as number, at + 8];
    } else if (IPV6_EXTENSIONS.includes(next)) {
      [next, at] = [ip[at] as number, at + 8 * ((ip[at + 1] as number) + 1)];
    } else return undefined;
  }
  const payload = ip.readUInt16BE(4);
  return {
    sourceIp: ipv6Text(ip.subarray(8, 24)),
    destinationIp: ipv6Text(ip.subarray(24, 40)),
    ipBytes: payload === 0 ? wireBytes : 40 + payload,
    tcpAt: at,
  };
}

/** In the short form that people write (RFC 5952). */
function ipv6Text(address: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function typeOf(flags: number, payloadBytes: number): PacketType {
  if (flags & FLAGS.rst) return 'rst';
  if (flags & FLAGS.syn) return 'syn';
  if (flags & FLAGS.fin) return 'fin';
  return payloadBytes > 0 ? 'data' : 'ack';
}
