/**
 * Feeds captures that tcpdump 4.99 wrote of one exchange ("ping", "pong-pong") over several kinds of interface, in one
 * piece, byte by byte and damaged, and holds what is read against what tcpdump itself printed of them. Kinds of frames
 * that the recording machine could not make (VLAN tags, BSD loopback, bare IP, fragments, extension headers) are made from
 * recorded ones.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type CapturedFrame, PcapDamage, PcapStream } from '../../src/traffic/pcap-stream.ts';
import { type TcpPacket, tcpPacketOf } from '../../src/traffic/tcp-packet.ts';
import { TrafficTotals } from '../../src/traffic/traffic-totals.ts';

const PORT = 45871;
const SAMPLES = {
  'loopback-ipv4': { source: '127.0.0.1', headerBytes: 66, startUs: 1_795_256_995_467_926 },
  'loopback-ipv6': { source: '::1', headerBytes: 86, startUs: 1_795_256_996_112_994 },
  'any-sll-ipv6': { source: '::1', headerBytes: 86, startUs: 1_795_256_998_036_307 },
  'any-sll2-ipv4': { source: '127.0.0.1', headerBytes: 66, startUs: 1_795_256_997_259_282 },
  nanoseconds: { source: '127.0.0.1', headerBytes: 66, startUs: 1_795_256_998_693_574 },
} as const;
type SampleName = keyof typeof SAMPLES | 'veth-offload';

const sample = (name: SampleName) => readFileSync(new URL(`samples/${name}.pcap`, import.meta.url));
const framesOf = (file: Buffer): CapturedFrame[] => new PcapStream().push(file);
const packetsOf = (name: SampleName): TcpPacket[] =>
  framesOf(sample(name)).map((frame) => tcpPacketOf(frame) as TcpPacket);

describe.each(Object.entries(SAMPLES))('%s', (name, { source, headerBytes, startUs }) => {
  const packets = packetsOf(name as SampleName);

  it('has the packets that tcpdump printed', () => {
    expect(packets.map(({ type, payloadBytes }) => [type, payloadBytes])).toEqual([
      ['syn', 0],
      ['syn', 0],
      ['ack', 0],
      ['data', 4],
      ['ack', 0],
      ['data', 9],
      ['ack', 0],
      ['fin', 0],
      ['fin', 0],
      ['ack', 0],
    ]);
    expect(packets[0]).toMatchObject({ timestampUs: startUs, sourceIp: source, destinationIp: source });
    expect(packets.map(({ destinationPort }) => destinationPort === PORT)).toEqual([
      ...[true, false, true, true, false],
      ...[false, true, false, true, false],
    ]);
  });

  it('continues where the packet before ended', () => {
    const [opening, , , ping] = packets as [TcpPacket, TcpPacket, TcpPacket, TcpPacket];
    expect(ping.sequence).toBe((opening.sequence + 1) % 2 ** 32);
    expect((packets[8] as TcpPacket).sequence).toBe((ping.sequence + 4) % 2 ** 32);
  });

  it('counts every packet as the Ethernet frame that it is or would be', () => {
    // The opening packets have 8 bytes more of options.
    expect(packets.map(({ bytes, payloadBytes }) => bytes - payloadBytes)).toEqual([
      headerBytes + 8,
      headerBytes + 8,
      ...new Array(8).fill(headerBytes),
    ]);
  });
});

it('the interface is told where the system tells it', () => {
  expect(packetsOf('any-sll2-ipv4').map(({ interfaceIndex }) => interfaceIndex)).toEqual(new Array(10).fill(1));
  expect(packetsOf('loopback-ipv4')[0]?.interfaceIndex).toBeUndefined();
});

describe('a stream in pieces', () => {
  it('byte by byte gives the same frames', () => {
    const file = sample('loopback-ipv4');
    const pcap = new PcapStream();
    const frames = [...file].flatMap((byte) => pcap.push(Buffer.from([byte])));
    expect(frames).toEqual(framesOf(file));
    expect(pcap.pendingBytes).toBe(0);
  });

  it('cut off gives the frames before the cut', () => {
    const pcap = new PcapStream();
    expect(pcap.push(sample('loopback-ipv4').subarray(0, -1))).toHaveLength(9);
    expect(pcap.pendingBytes).toBeGreaterThan(0);
  });

  it('in the other byte order gives the same frames', () => {
    const file = sample('loopback-ipv4');
    expect(framesOf(otherByteOrder(file))).toEqual(framesOf(file));
  });

  it('that is no capture, or out of step, is refused', () => {
    expect(() => framesOf(Buffer.from('tcpdump: listening on lo, link-type EN10MB'))).toThrow(PcapDamage);
    const file = Buffer.from(sample('loopback-ipv4'));
    file.writeUInt32LE(300_000, 24 + 8);
    expect(() => framesOf(file)).toThrow('a packet of 300000 bytes');
  });
});

describe('frames made from recorded ones', () => {
  const ethernet = framesOf(sample('loopback-ipv4'))[5] as CapturedFrame;
  const ethernet6 = framesOf(sample('loopback-ipv6'))[5] as CapturedFrame;
  const plain = tcpPacketOf(ethernet) as TcpPacket;
  const plain6 = tcpPacketOf(ethernet6) as TcpPacket;
  const made = (linkType: number, head: Buffer, from = ethernet): CapturedFrame => ({
    ...from,
    linkType,
    bytes: Buffer.concat([head, from.bytes.subarray(14)]),
    originalBytes: from.originalBytes - 14 + head.length,
  });

  it('a VLAN tag, or two, is a longer header', () => {
    const tagged = made(1, Buffer.concat([ethernet.bytes.subarray(0, 12), Buffer.from('810000050800', 'hex')]));
    expect(tcpPacketOf(tagged)).toEqual({ ...plain, bytes: plain.bytes + 4 });
    const twice = made(1, Buffer.concat([ethernet.bytes.subarray(0, 12), Buffer.from('88a80006810000050800', 'hex')]));
    expect(tcpPacketOf(twice)).toEqual({ ...plain, bytes: plain.bytes + 8 });
  });

  it('other links give the same packet', () => {
    expect(tcpPacketOf(made(0, Buffer.from('02000000', 'hex')))).toEqual(plain);
    expect(tcpPacketOf(made(108, Buffer.from('00000002', 'hex')))).toEqual(plain);
    expect(tcpPacketOf(made(101, Buffer.alloc(0)))).toEqual(plain);
    expect(tcpPacketOf(made(101, Buffer.alloc(0), ethernet6))).toEqual(plain6);
    expect(tcpPacketOf(made(229, Buffer.alloc(0), ethernet6))).toEqual(plain6);
  });

  it('the padding of a short frame is no payload', () => {
    const ack = framesOf(sample('loopback-ipv4'))[4] as CapturedFrame;
    const padded = {
      ...ack,
      bytes: Buffer.concat([ack.bytes, Buffer.alloc(10)]),
      originalBytes: ack.originalBytes + 10,
    };
    expect(tcpPacketOf(padded)).toMatchObject({ type: 'ack', payloadBytes: 0, bytes: ack.originalBytes + 10 });
  });

  it('a packet whose length does not fit its header is as long as it was on the interface', () => {
    const bytes = Buffer.from(ethernet.bytes);
    bytes.writeUInt16BE(0, 16);
    expect(tcpPacketOf({ ...ethernet, bytes })).toEqual(plain);
    const bytes6 = Buffer.from(ethernet6.bytes);
    bytes6.writeUInt16BE(0, 18);
    expect(tcpPacketOf({ ...ethernet6, bytes: bytes6 })).toEqual(plain6);
  });

  it('headers between IPv6 and TCP are no payload', () => {
    const ip = ethernet6.bytes.subarray(14);
    const extension = Buffer.from([6, 0, 1, 4, 0, 0, 0, 0]);
    const extended = Buffer.concat([ip.subarray(0, 40), extension, ip.subarray(40)]);
    extended[6] = 60;
    extended.writeUInt16BE(ip.readUInt16BE(4) + 8, 4);
    const frame = { ...ethernet6, linkType: 101, bytes: extended, originalBytes: extended.length };
    expect(tcpPacketOf(frame)).toEqual({ ...plain6, bytes: plain6.bytes + 8 });
  });

  it('what is no TCP, or too short to tell, is none', () => {
    const changed = (change: (bytes: Buffer) => void): CapturedFrame => {
      const bytes = Buffer.from(ethernet.bytes);
      change(bytes);
      return { ...ethernet, bytes };
    };
    expect(tcpPacketOf(changed((bytes) => bytes.writeUInt8(17, 14 + 9)))).toBeUndefined();
    expect(tcpPacketOf(changed((bytes) => bytes.writeUInt16BE(0x0806, 12)))).toBeUndefined();
    // A later fragment has data where TCP's header would be.
    expect(tcpPacketOf(changed((bytes) => bytes.writeUInt16BE(0x0010, 14 + 6)))).toBeUndefined();
    expect(tcpPacketOf({ ...ethernet, linkType: 147 })).toBeUndefined();
    for (let length = 0; length < 14 + 20 + 14; length++) {
      expect(
        tcpPacketOf({ ...ethernet, bytes: ethernet.bytes.subarray(0, length) }),
        `${length} bytes`,
      ).toBeUndefined();
    }
    for (let length = 0; length < 14 + 40 + 14; length++) {
      expect(tcpPacketOf({ ...ethernet6, bytes: ethernet6.bytes.subarray(0, length) })).toBeUndefined();
    }
  });
});

describe('totals', () => {
  const totalsOf = (name: SampleName, ports = [PORT]) => {
    const totals = new TrafficTotals(ports);
    for (const packet of packetsOf(name)) totals.add(packet);
    return totals;
  };

  it('are by direction, and the sum of both', () => {
    const { directions, all, oversized } = totalsOf('loopback-ipv4');
    expect(directions).toEqual([
      {
        ...{ from: '127.0.0.1:45871', to: '127.0.0.1', packets: 5, dataPackets: 1 },
        ...{ bytes: 5 * 66 + 8 + 9, payloadBytes: 9, overheadBytes: 5 * 66 + 8 },
      },
      {
        ...{ from: '127.0.0.1', to: '127.0.0.1:45871', packets: 5, dataPackets: 1 },
        ...{ bytes: 5 * 66 + 8 + 4, payloadBytes: 4, overheadBytes: 5 * 66 + 8 },
      },
    ]);
    expect(all).toMatchObject({ packets: 10, bytes: 10 * 66 + 16 + 13, payloadBytes: 13 });
    expect(oversized).toBe(0);
  });

  it('name IPv6 ends as URLs do', () => {
    expect(totalsOf('loopback-ipv6').directions.map(({ from, to }) => [from, to])).toContainEqual([
      '[::1]',
      '[::1]:45871',
    ]);
  });

  it('say how many packets no Ethernet frame could hold', () => {
    const totals = totalsOf('veth-offload');
    expect(totals.oversized).toBe(3);
    expect(totals.all).toMatchObject({ packets: 14, dataPackets: 4, payloadBytes: 20_009 });
    expect(totals.directions[0]).toMatchObject({ from: '10.209.0.1', to: '10.209.0.2:45871', payloadBytes: 20_000 });
  });
});

/** The same capture as a machine of the other byte order would have written it. */
function otherByteOrder(file: Buffer): Buffer {
  const swapped = Buffer.from(file);
  const swap32 = (at: number) => swapped.writeUInt32BE(file.readUInt32LE(at), at);
  for (const at of [0, 8, 12, 16, 20]) swap32(at);
  for (let at = 24; at < file.length; at += 16 + file.readUInt32LE(at + 8)) {
    for (const field of [0, 4, 8, 12]) swap32(at + field);
  }
  return swapped;
}
