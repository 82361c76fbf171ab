import { type Command, InvalidArgumentError, Option } from 'commander';
import { EXIT_FAILURE, paragraph, printable, stopRequested, styled, table } from 'discedge/cli';
import type { RecordedTraffic } from '../traffic/record-traffic.ts';

interface TrafficFlags {
  readonly port: readonly number[];
  readonly duration: number;
  readonly interface?: string;
  readonly output: string;
}

/** A day. */
const DURATION_SECONDS_MAX = 86_400;

export function define(command: Command): void {
  command
    .addOption(
      new Option('-p, --port <PORT...>', "TCP ports to watch: of the peers' nats-servers, 4222 unless set otherwise")
        .argParser(appendPort)
        .makeOptionMandatory(),
    )
    .requiredOption('-d, --duration <SECONDS>', 'how long to capture', seconds)
    .option('-i, --interface <NAME>', 'one network interface (default: any)')
    .option('-o, --output <DIR>', 'folder for the rows, as CSV and NDJSON', 'discedge-results')
    .addHelpText(
      'after',
      paragraph(
        'Captures with tcpdump, which must be installed and allowed to; every packet to and from the ports is a row. Between ' +
          'network interfaces of one machine (bridges, containers) "any" sees a packet more than once: name one then.',
      ),
    )
    .action(capture);
}

async function capture({ port: ports, duration, interface: name, output }: TrafficFlags): Promise<void> {
  const { recordTraffic } = await import('../traffic/record-traffic.ts');
  const stop = stopRequested();
  const recorded = await recordTraffic({
    ports,
    interface: name,
    durationMs: duration * 1000,
    folder: output,
    signal: stop.signal,
    onListening: () => {
      process.stderr.write(`discedge: capturing port ${ports.join(', ')} for ${duration} s\n`);
    },
  });
  process.stdout.write(describeTraffic(recorded));
  if (!recorded.end.complete) process.exitCode = EXIT_FAILURE;
}

function describeTraffic({ end, paths }: RecordedTraffic): string {
  const cells = [...end.directions, ...(end.directions.length > 1 ? [end.all] : [])].map((total) => [
    total.from === '' ? 'all' : printable(total.from),
    printable(total.to),
    total.packets,
    total.dataPackets,
    total.bytes,
    total.payloadBytes,
    total.overheadBytes,
  ]);
  const header = ['FROM', 'TO', 'PACKETS', 'WITH DATA', 'BYTES', 'PAYLOAD', 'OVERHEAD'];
  return [
    ...(cells.length === 0 ? ['no packets'] : [table(header, cells)]),
    '',
    ...warnings(end).map((warning) => styled('yellow', warning)),
    end.complete ? styled('green', 'complete') : styled('yellow', `incomplete: ${printable(end.reason)}`),
    ...paths.map((path) => `  ${path}`),
    '',
  ].join('\n');
}

function warnings({ interfaces, oversized_packets: oversized }: RecordedTraffic['end']): string[] {
  return [
    ...(interfaces > 1
      ? [
          `seen on ${interfaces} interfaces: a packet that passes several was counted at each; name one with --interface`,
        ]
      : []),
    ...(oversized > 0
      ? [
          `${oversized} packets are larger than an Ethernet frame: a wire would carry more packets and headers than these`,
        ]
      : []),
  ];
}

function appendPort(text: string, ports: readonly number[] | undefined): number[] {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError('It must be a port, from 1 to 65535.');
  }
  return [...(ports ?? []), port];
}

function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || value > DURATION_SECONDS_MAX) {
    throw new InvalidArgumentError(`It must be a number of seconds above 0, at most ${DURATION_SECONDS_MAX}.`);
  }
  return value;
}
