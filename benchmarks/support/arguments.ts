import { parseArgs } from 'node:util';

interface Flag {
  readonly type: 'string' | 'boolean';
  /** Begins with its placeholder, where it takes a value: "SECONDS a row". Empty: of use to the benchmark alone. */
  readonly help: string;
  readonly default?: string | boolean;
  readonly isNumber?: true;
  /** It takes names of these, with commas between. */
  readonly among?: readonly string[];
  readonly isRequired?: true;
}

type Flags = Readonly<Record<string, Flag>>;

type Value<F extends Flag> = F extends { type: 'boolean' }
  ? boolean
  : F extends { default: string } | { isRequired: true }
    ? string
    : string | undefined;

/**
 * The flags that a benchmark was called with. `--help` prints how it is called and ends the process; a wrong call says what is
 * wrong with it, and ends it with status 2.
 */
export function benchmarkFlags<const F extends Flags>(
  name: string,
  flags: F,
): { readonly [K in keyof F]: Value<F[K]> } {
  const known: Flags = { ...flags, help: { type: 'boolean', default: false, help: 'print this' } };
  try {
    const { values } = parseArgs({ options: known });
    if (values.help === true) {
      process.stdout.write(usageOf(name, known));
      process.exit(0);
    }
    for (const [flag, { isNumber, isRequired, among, help }] of Object.entries(known)) {
      const value = values[flag];
      if (isRequired && value === undefined) throw new TypeError(`--${flag} is missing: the ${help}`);
      if (isNumber && value !== undefined && !/^\d+(\.\d+)?$/.test(String(value))) {
        throw new TypeError(`--${flag} takes a number, not "${String(value)}"`);
      }
      const unknown = among && namesIn(String(value)).find((name) => !among.includes(name));
      if (unknown !== undefined) throw new TypeError(`--${flag} takes ${among?.join(', ')}, not "${unknown}"`);
    }
    return values as { readonly [K in keyof F]: Value<F[K]> };
  } catch (error) {
    process.stderr.write(
      `bench:${name}: ${(error as Error).message.split('. To specify')[0]}\n\n${usageOf(name, known)}`,
    );
    process.exit(2);
  }
}

/** The names that a flag which takes several was given. */
export function namesIn<Name extends string = string>(value: string): Name[] {
  return value.split(',') as Name[];
}

function usageOf(name: string, flags: Flags): string {
  const rows = Object.entries(flags).flatMap(([flag, { type, help, default: value }]) => {
    if (help === '') return [];
    const [placeholder = '', ...words] = help.split(' ');
    const isSwitch = type === 'boolean';
    const term = isSwitch ? `--${flag}` : `--${flag} ${placeholder}`;
    const standard = isSwitch || value === undefined ? '' : ` (default: ${value})`;
    return [`  ${term.padEnd(24)}${isSwitch ? help : words.join(' ')}${standard}`];
  });
  return [`Usage: npm run bench:${name} -- [flags]`, '', ...rows, ''].join('\n');
}
