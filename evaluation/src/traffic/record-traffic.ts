import { join } from 'node:path';
import { VERSION } from 'discedge/internal/edge-node/version';
import type { Clock } from 'discedge/internal/environment/environment';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { commit, machine } from '../nodes/machine.ts';
import { ResultsFile } from '../scenario/results-file.ts';
import { runName } from '../scenario/run-recorder.ts';
import { type CaptureEnd, startCapture } from './capture.ts';
import type { TcpPacket } from './tcp-packet.ts';
import {
  packetRow,
  TRAFFIC_FORMAT,
  type TrafficEnd,
  type TrafficStart,
  trafficCsvHeader,
  trafficCsvRow,
} from './traffic-row.ts';
import { TrafficTotals } from './traffic-totals.ts';

export interface TrafficRequest {
  readonly ports: readonly number[];
  /** `undefined`: all of them on Linux, tcpdump's choice elsewhere. */
  readonly interface: string | undefined;
  readonly durationMs: number;
  /** Where the rows go. */
  readonly folder: string;
  /** Ends the capture early. */
  readonly signal?: AbortSignal | undefined;
  /** Called when packets are being captured. */
  readonly onListening?: (() => void) | undefined;
  readonly program?: string | undefined;
}

export interface RecordedTraffic {
  readonly start: TrafficStart;
  readonly end: TrafficEnd;
  readonly paths: readonly string[];
}

/**
 * Captures for a while and records every packet as a row, as the paper did. Throws `capture_unavailable` and
 * `results_unusable`; what goes wrong while it captures is said in its last row.
 */
export async function recordTraffic(request: TrafficRequest): Promise<RecordedTraffic> {
  const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'traffic' });
  const { ports, folder } = request;
  const totals = new TrafficTotals(ports);
  const start = startRow(request, clock);
  // Made with the first packet or at the end, so that a capture that never begins leaves no files.
  let files: TrafficFiles | undefined;
  const write = () => {
    files ??= new TrafficFiles(folder, runName(['traffic', ...ports.map(String)], clock.now()), start);
    return files;
  };
  const onPacket = (packet: TcpPacket) => {
    totals.add(packet);
    write().packet(packet);
  };
  const capture = await startCapture({ ...request, onPacket, clock });
  try {
    request.onListening?.();
    const interrupted = await timeOver(request, clock, capture.ended);
    const ended = await capture.stop();
    const end = endRow(totals, ended, { interrupted, at: isoTime(clock) });
    write().end(end);
    return { start, end, paths: write().paths };
  } finally {
    await capture.stop().catch(() => {});
    files?.close();
  }
}

/** Every packet as a line of CSV and of NDJSON, as it comes. */
class TrafficFiles {
  readonly #csv: ResultsFile;
  readonly #ndjson: ResultsFile;
  #packets = 0;

  constructor(folder: string, name: string, start: TrafficStart) {
    this.#csv = new ResultsFile(join(folder, `${name}.csv`));
    this.#ndjson = new ResultsFile(join(folder, `${name}.ndjson`));
    this.#csv.append(trafficCsvHeader());
    this.#ndjson.append(`${JSON.stringify(start)}\n`);
  }

  get paths(): readonly string[] {
    return [this.#csv.path, this.#ndjson.path];
  }

  packet(packet: TcpPacket): void {
    this.#packets++;
    const row = { kind: 'packet', ...packetRow(packet, this.#packets) };
    this.#ndjson.append(`${JSON.stringify(row)}\n`);
    this.#csv.append(trafficCsvRow(packet, this.#packets));
  }

  end(row: TrafficEnd): void {
    this.#ndjson.append(`${JSON.stringify(row)}\n`);
  }

  close(): void {
    this.#csv.close();
    this.#ndjson.close();
  }
}

/** Resolves when the time is over, with false; with true when interrupted; also when tcpdump ends by itself. */
function timeOver({ durationMs, signal }: TrafficRequest, clock: Clock, ended: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      signal?.removeEventListener('abort', finish);
      resolve(signal?.aborted ?? false);
    };
    const cancel = clock.after(durationMs, finish);
    if (signal?.aborted) finish();
    signal?.addEventListener('abort', finish, { once: true });
    ended.then(finish, finish);
  });
}

function startRow({ ports, durationMs, interface: name }: TrafficRequest, clock: Clock): TrafficStart {
  return {
    kind: 'traffic_start',
    format: TRAFFIC_FORMAT,
    at: isoTime(clock),
    version: VERSION,
    commit: commit(),
    machine: machine(),
    ports,
    interface: name ?? (process.platform === 'linux' ? 'any' : ''),
    duration_ms: durationMs,
  };
}

function endRow(
  totals: TrafficTotals,
  { droppedPackets, unreadableFrames, failure }: CaptureEnd,
  { interrupted, at }: { readonly interrupted: boolean; readonly at: string },
): TrafficEnd {
  const dropped = droppedPackets > 0 ? `tcpdump lost ${droppedPackets} packets` : undefined;
  const wrong = interrupted ? 'interrupted' : (failure ?? dropped);
  return {
    kind: 'traffic_end',
    format: TRAFFIC_FORMAT,
    at,
    complete: wrong === undefined,
    reason: wrong ?? 'done',
    dropped_packets: droppedPackets,
    unreadable_frames: unreadableFrames,
    oversized_packets: totals.oversized,
    interfaces: totals.interfaces.size,
    directions: totals.directions,
    all: totals.all,
  };
}

function isoTime(clock: Clock): string {
  return new Date(clock.now()).toISOString();
}
