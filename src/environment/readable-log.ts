import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** By pino's numbers. */
const LEVELS: Readonly<Record<number, readonly [name: string, format: Format]>> = {
  20: ['debug', 'dim'],
  30: ['info', 'green'],
  40: ['warn', 'yellow'],
  50: ['error', 'red'],
};
/** What stands at a fixed place of the line, or is the same in all of them. */
const PLACED = new Set(['level', 'time', 'node', 'event', 'error']);

/**
 * A JSON log line as a person reads it at a terminal: "19:03:12 warn  peer_silent peer=e2 waited_ms=1200", an error and
 * its stack below. What a field brings from elsewhere cannot move the cursor.
 */
export function readableLogLine(json: string, stream: NodeJS.WriteStream = process.stderr): string {
  const line = JSON.parse(json) as Record<string, unknown> & { level: number; time: number; event: string };
  const [name, format] = LEVELS[line.level] ?? ['', 'reset'];
  const styled = (as: Format, text: string) => styleText(as, text, { stream });
  const fields = Object.entries(line).flatMap(([key, value]) =>
    PLACED.has(key) ? [] : [`${styled('dim', `${key}=`)}${fieldText(value)}`],
  );
  const time = new Date(line.time).toLocaleTimeString('sv-SE');
  const words = [styled('dim', time), styled(format, name.padEnd(5)), line.event, ...fields];
  return `${[words.join(' '), ...errorLines(line.error)].join('\n')}\n`;
}

function fieldText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w.:/@+,-]+$/.test(text) ? text : visible(JSON.stringify(value));
}

function errorLines(error: unknown): string[] {
  if (typeof error !== 'object' || error === null) return [];
  const { name, code, message, cause, stack } = error as Readonly<Record<string, string | undefined>>;
  const told = [name, code].filter((word) => word !== undefined).join(' ');
  const head = [told, message].filter((word) => word !== undefined && word !== '').join(': ');
  const because = cause === undefined ? [] : [`because: ${cause}`];
  const frames = (stack ?? '').split('\n').filter((frame) => /^\s+at /.test(frame));
  return [...head.split('\n'), ...because, ...frames.map((frame) => frame.trim())].map((one) => `    ${visible(one)}`);
}

function visible(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd');
}
