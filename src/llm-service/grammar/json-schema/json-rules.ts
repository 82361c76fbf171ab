/** Rules that any schema may need; of one that is used, those that it names are too. */
export const COMMON_RULES: Readonly<Record<string, { readonly rule: string; readonly uses: readonly string[] }>> = {
  space: { rule: '| " " | "\\n"{1,2} [ \\t]{0,20}', uses: [] },
  char: { rule: '[^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt/] | "u" [0-9a-fA-F]{4})', uses: [] },
  string: { rule: '"\\"" char* "\\""', uses: ['char'] },
  natural: { rule: '"0" | [1-9] [0-9]{0,15}', uses: [] },
  integer: { rule: '"-"? natural', uses: ['natural'] },
  positive: { rule: 'natural ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?', uses: ['natural'] },
  number: { rule: '"-"? positive', uses: ['positive'] },
  boolean: { rule: '"true" | "false"', uses: [] },
  null: { rule: '"null"', uses: [] },
  array: { rule: '"[" space (value ("," space value)*)? space "]"', uses: ['space', 'value'] },
  object: {
    rule: '"{" space (string ":" space value ("," space string ":" space value)*)? space "}"',
    uses: ['space', 'string', 'value'],
  },
  value: {
    rule: 'object | array | string | number | boolean | null',
    uses: ['object', 'array', 'string', 'number', 'boolean', 'null'],
  },
};

/** `format`s of texts that have a grammar; others say nothing, as in JSON Schema. */
export const FORMATS: Readonly<Record<string, string>> = (() => {
  const month = '("0" [13-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "30")';
  // The 29th of February is in some years only.
  const date = `[0-9]{4} "-" (${month} | ("0" [13578] | "1" [02]) "-31" | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))`;
  const hour = '([01] [0-9] | "2" [0-3])';
  const time = `${hour} ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? ("Z" | [-+] ${hour} ":" [0-5] [0-9])`;
  const hex = (digits: number) => `[0-9a-f]{${digits}}`;
  const uuid = [8, 4, 4, 4, 12].map(hex).join(' "-" ');
  return { date, time, 'date-time': `${date} "T" ${time}`, uuid };
})();
