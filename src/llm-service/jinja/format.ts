import { repr, str } from './text.ts';
import { Dict, Float, JinjaError, numberOf, Tuple, typeName, Undefined, type Value } from './values.ts';

const CONVERSION = /%(?:\((\w+)\))?([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?([\s\S]?)/g;

/** Python's `text % values`. */
export function percentFormat(text: string, values: Value): string {
  const queue = values instanceof Tuple ? [...values.items] : [values];
  let named = false;
  const next = (): Value => {
    const value = queue.shift();
    if (value === undefined) throw new JinjaError('formats with too few values');
    return value;
  };
  const formatted = text.replace(
    CONVERSION,
    (_, name?: string, flags = '', width?: string, precision?: string, type = '') => {
      if (type === '%') return '%';
      const minimum = width === '*' ? Number(next()) : Number(width ?? 0);
      const digits = precision === '*' ? Number(next()) : precision === undefined ? undefined : Number(precision);
      let value: Value;
      if (name === undefined) value = next();
      else {
        named = true;
        value = (values instanceof Dict ? values.get(name) : undefined) ?? fail(`formats with no value for "${name}"`);
      }
      const written = converted(value, { type, digits, flags });
      if (flags.includes('-')) return written.padEnd(minimum);
      return flags.includes('0') && !'srac'.includes(type) ? padZeros(written, minimum) : written.padStart(minimum);
    },
  );
  if (queue.length > 0 && !named && !(values instanceof Dict)) throw new JinjaError('formats with too many values');
  return formatted;
}

function converted(
  value: Value,
  { type, digits, flags }: { type: string; digits: number | undefined; flags: string },
): string {
  if (type === 's') return str(value).slice(0, digits);
  if (type === 'r' || type === 'a') return repr(value).slice(0, digits);
  if (type === 'c') return typeof value === 'string' ? value : String.fromCodePoint(numberFor(value));
  const sign = (negative: boolean) => (negative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '');
  const number = numberFor(value);
  if ('diuxXo'.includes(type)) {
    const base = type === 'o' ? 8 : type.toLowerCase() === 'x' ? 16 : 10;
    const magnitude = Math.abs(Math.trunc(number))
      .toString(base)
      .padStart(digits ?? 0, '0');
    return sign(number < 0) + (type === 'X' ? magnitude.toUpperCase() : magnitude);
  }
  if ('fFeEgG'.includes(type)) return sign(number < 0) + floatFormat(Math.abs(number), type, digits ?? 6);
  return fail(`formats with %${type}`);
}

function numberFor(value: Value): number {
  if (value instanceof Undefined) value.fail();
  return numberOf(value) ?? fail(`formats a ${typeName(value)} as a number`);
}

function padZeros(number: string, width: number): string {
  const sign = /^[-+ ]/.exec(number)?.[0] ?? '';
  return sign + number.slice(sign.length).padStart(width - sign.length, '0');
}

function floatFormat(value: number, type: string, digits: number): string {
  const exponential = (fraction: number) => value.toExponential(fraction).replace(/e([+-])(\d)$/, 'e$10$2');
  let written: string;
  if (type.toLowerCase() === 'f') written = fixed(value, digits);
  else if (type.toLowerCase() === 'e') written = exponential(digits);
  else {
    const significant = Math.max(1, digits);
    const exponent = value === 0 ? 0 : Number(value.toExponential(significant - 1).split('e')[1]);
    const small = exponent >= -4 && exponent < significant;
    const long = small ? fixed(value, significant - 1 - exponent) : exponential(significant - 1);
    written = long.includes('.') ? long.replace(/\.?0+(?=e|$)/, '') : long;
  }
  return type === type.toUpperCase() ? written.toUpperCase() : written;
}

/** `toFixed`, which leaves large numbers in exponents. */
function fixed(value: number, digits: number): string {
  return value < 1e21 ? value.toFixed(digits) : `${BigInt(value)}${digits > 0 ? `.${'0'.repeat(digits)}` : ''}`;
}

const FIELD = /\{\{|\}\}|\{([^{}!:]*)(?:!([rsa]))?(?::((?:[^{}]|\{[^{}]*\})*))?\}|[{}]/g;

/** Python's `str.format`. `pick` gives the value of a field such as `0.name`. */
export function braceFormat(text: string, pick: (field: string) => Value): string {
  let automatic = 0;
  const value = (field: string) => pick(/^(?:$|[.[])/.test(field) ? `${automatic++}${field}` : field);
  return text.replace(FIELD, (written, field?: string, conversion?: string, spec = '') => {
    if (written === '{{' || written === '}}') return written.slice(1);
    if (field === undefined) return fail('formats with a single brace');
    const plain = value(field);
    const filled = spec.replace(/\{([^{}]*)\}/g, (_: string, inner: string) => str(value(inner)));
    return specFormat(conversion === undefined ? plain : conversion === 's' ? str(plain) : repr(plain), filled);
  });
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

function specFormat(value: Value, spec: string): string {
  if (spec === '') return str(value);
  const parts = SPEC.exec(spec) ?? fail(`formats with ":${spec}"`);
  const [, fill, align, sign = '', , zero, width = '0', group, precision, type] = parts;
  const digits = precision === undefined ? undefined : Number(precision);
  const number = typeof value === 'string' ? undefined : numberOf(value);
  let written: string;
  if (number === undefined || type === 's') written = [...str(value)].slice(0, digits).join('');
  else written = formatNumber(value, number, { sign, group, digits, type });
  const side = align ?? (zero !== undefined ? '=' : number === undefined ? '<' : '>');
  const padding = fill ?? (zero !== undefined ? '0' : ' ');
  const missing = Math.max(0, Number(width) - [...written].length);
  if (side === '<') return written + padding.repeat(missing);
  if (side === '>') return padding.repeat(missing) + written;
  if (side === '^') return padding.repeat(Math.floor(missing / 2)) + written + padding.repeat(Math.ceil(missing / 2));
  const head = /^[-+ ]/.exec(written)?.[0] ?? '';
  return head + padding.repeat(missing) + written.slice(head.length);
}

function formatNumber(
  value: Value,
  number: number,
  options: { sign: string; group: string | undefined; digits: number | undefined; type: string | undefined },
): string {
  const { sign, group, digits, type } = options;
  const isFloat = value instanceof Float || digits !== undefined || 'feg%'.includes((type ?? 'd').toLowerCase());
  const magnitude = Math.abs(number);
  let written: string;
  if (type === '%') written = `${fixed(magnitude * 100, digits ?? 6)}%`;
  else if (isFloat && type === undefined && digits === undefined) written = str(new Float(magnitude));
  else if (isFloat) written = floatFormat(magnitude, type ?? 'g', digits ?? 6);
  else {
    const base = ({ x: 16, X: 16, o: 8, b: 2 } as Record<string, number>)[type ?? 'd'] ?? 10;
    written = magnitude.toString(base);
    if (type === 'X') written = written.toUpperCase();
  }
  if (group !== undefined) written = written.replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, group));
  return (number < 0 ? '-' : sign === '-' ? '' : sign) + written;
}

function fail(what: string): never {
  throw new JinjaError(what);
}
