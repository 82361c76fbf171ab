/** A packet as a capture file holds it. */
export interface CapturedFrame {
  readonly linkType: number;
  /** Since 1970, in microseconds. */
  readonly timestampUs: number;
  /** Its beginning, as far as it was captured. */
  readonly bytes: Buffer;
  /** How long it was, link header included. */
  readonly originalBytes: number;
}

/** The stream is no capture file, or is damaged. The message is a clause about it. */
export class PcapDamage extends Error {}

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** tcpdump's own largest snapshot length: a longer record means that the stream is out of step. */
const FRAME_BYTES_MAX = 262_144;

interface Form {
  readonly littleEndian: boolean;
  /** Of the fraction in a record's time. */
  readonly unitsPerUs: number;
  readonly linkType: number;
}

/**
 * Takes a capture in libpcap's file format (pcap-savefile(5)) apart while it is being written, chunk by chunk: either
 * byte order, times in micro- or nanoseconds.
 */
export class PcapStream {
  #rest: Buffer = Buffer.alloc(0);
  #form: Form | undefined;

  /** The frames that are complete with this chunk. Throws {@link PcapDamage}. */
  push(chunk: Buffer): CapturedFrame[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#form === undefined) {
      if (this.#rest.length < FILE_HEADER_BYTES) return [];
      this.#form = formOf(this.#rest);
      this.#rest = this.#rest.subarray(FILE_HEADER_BYTES);
    }
    const frames: CapturedFrame[] = [];
    for (let frame = this.#next(this.#form); frame !== undefined; frame = this.#next(this.#form)) frames.push(frame);
    return frames;
  }

  /** Bytes of a frame that is not complete yet: more than none at the end of a stream that was cut off. */
  get pendingBytes(): number {
    return this.#rest.length;
  }

  #next(form: Form): CapturedFrame | undefined {
    const rest = this.#rest;
    if (rest.length < RECORD_HEADER_BYTES) return undefined;
    const [seconds, fraction, captured, originalBytes] = [0, 4, 8, 12].map((at) => uint32(rest, at, form)) as [
      number,
      number,
      number,
      number,
    ];
    if (captured > FRAME_BYTES_MAX) throw new PcapDamage(`has a packet of ${captured} bytes`);
    const end = RECORD_HEADER_BYTES + captured;
    if (rest.length < end) return undefined;
    this.#rest = rest.subarray(end);
    return {
      linkType: form.linkType,
      timestampUs: seconds * 1_000_000 + Math.floor(fraction / form.unitsPerUs),
      bytes: rest.subarray(RECORD_HEADER_BYTES, end),
      originalBytes,
    };
  }
}

function formOf(header: Buffer): Form {
  for (const littleEndian of [true, false]) {
    const order = { littleEndian };
    const magic = uint32(header, 0, order);
    if (magic !== 0xa1b2c3d4 && magic !== 0xa1b23c4d) continue;
    // The upper half says whether frames end with a checksum.
    const linkType = uint32(header, 20, order) & 0xffff;
    return { littleEndian, linkType, unitsPerUs: magic === 0xa1b23c4d ? 1_000 : 1 };
  }
  throw new PcapDamage('does not begin as a capture does');
}

function uint32(bytes: Buffer, at: number, { littleEndian }: { readonly littleEndian: boolean }): number {
  return littleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}
