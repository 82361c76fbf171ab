import type { SettingValue } from './setting-schema.ts';
import type { Setting } from './settings.ts';

/** A value, or what is wrong with what was given; never the given text of a secret. */
export type Reading = { readonly value: SettingValue } | { readonly problem: string };

/** Reads a value as a flag, environment variable or YAML file gives it; text and typed values are both welcome. */
export function readSettingValue(setting: Setting, given: unknown): Reading {
  switch (setting.kind) {
    case 'integer':
      return readNumber(setting, typeof given === 'string' && /^-?\d+$/.test(given.trim()) ? Number(given) : given);
    case 'size':
      return readNumber(setting, typeof given === 'string' ? (parseSize(given) ?? given) : given);
    case 'switch':
      return readSwitch(given);
    case 'choice':
      return readChoice(setting, given);
    case 'list':
      return readList(setting, given);
    case 'texts':
      return readTexts(setting, given);
    case 'text':
    case 'path':
      return readText(setting, given);
    default:
      return setting.kind satisfies never;
  }
}

function readText(setting: Setting, given: unknown): Reading {
  // YAML makes a number of `node-id: 7`; its text is what was meant.
  if (typeof given === 'number') return { value: String(given) };
  if (typeof given === 'string' && given.trim() !== '') return { value: given.trim() };
  return { problem: given === '' ? 'must not be empty' : `must be text${got(setting, given)}` };
}

function readList(setting: Setting, given: unknown): Reading {
  return readText(
    setting,
    Array.isArray(given) && given.every((item) => typeof item === 'string') ? given.join() : given,
  );
}

function readTexts(setting: Setting, given: unknown): Reading {
  const texts = (Array.isArray(given) ? given : [given]).map((item) => readText(setting, item));
  const [wrong] = texts.flatMap((reading) => ('problem' in reading ? [reading] : []));
  if (wrong !== undefined) return wrong;
  if (texts.length === 0) return { problem: 'must not be empty' };
  return { value: texts.map((reading) => String((reading as { value: SettingValue }).value)) };
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes of "512MB" (powers of ten), "4GiB" (powers of two) or "1048576"; `undefined` when it is none of these. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const name = unit?.toLowerCase() ?? '?';
  const factor = Object.hasOwn(SIZE_UNITS, name) ? SIZE_UNITS[name] : undefined;
  if (digits === undefined || factor === undefined || (factor === 1 && digits.includes('.'))) return undefined;
  return Math.round(Number(digits) * factor);
}

/** "4 GiB", "1 MiB", "500 bytes": exact, in the largest binary unit that divides it. */
export function formatSize(bytes: number): string {
  const unit = (['TiB', 'GiB', 'MiB', 'KiB'] as const).find((name) => {
    const factor = SIZE_UNITS[name.toLowerCase()] as number;
    return bytes >= factor && bytes % factor === 0;
  });
  return unit === undefined ? `${bytes} bytes` : `${bytes / (SIZE_UNITS[unit.toLowerCase()] as number)} ${unit}`;
}

function readNumber(setting: Setting, given: unknown): Reading {
  const { minimum, maximum } = setting as { minimum: number; maximum: number };
  if (typeof given === 'number' && Number.isInteger(given) && given >= minimum && given <= maximum) {
    return { value: given };
  }
  const range =
    setting.kind === 'size'
      ? `a size such as "512MB" or "4GiB", from ${formatSize(minimum)} to ${formatSize(maximum)}`
      : `a whole number of ${setting.unit} from ${minimum} to ${maximum}`;
  return { problem: `must be ${range}${got(setting, given)}` };
}

function readSwitch(given: unknown): Reading {
  const value = SWITCH_WORDS.get(String(given).toLowerCase());
  return value === undefined ? { problem: 'must be true or false' } : { value };
}

const SWITCH_WORDS: ReadonlyMap<string, boolean> = new Map([
  ...(['true', '1', 'on'] as const).map((word) => [word, true] as const),
  ...(['false', '0', 'off'] as const).map((word) => [word, false] as const),
]);

function readChoice(setting: Setting, given: unknown): Reading {
  if (typeof given === 'string' && setting.choices?.includes(given)) return { value: given };
  return { problem: `must be one of ${setting.choices?.join(', ')}${got(setting, given)}` };
}

/** The longest piece of a wrong value worth repeating. */
const GOT_CHARS_MAX = 60;

function got(setting: Setting, given: unknown): string {
  if (setting.secret === true) return '';
  const text = typeof given === 'object' ? 'a list or mapping' : JSON.stringify(given);
  return `, not ${text.slice(0, GOT_CHARS_MAX)}`;
}
