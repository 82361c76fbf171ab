import { type Arguments, JinjaError, type Value } from './values.ts';

/**
 * The arguments of a call in the order of `names`, given by place or by name. Throws for one too many, one that has no
 * such name, and one that is missing; names that end in `?` may be.
 */
export function bind({ positional, named }: Arguments, ...names: readonly string[]): (Value | undefined)[] {
  const plain = names.map((name) => name.replace('?', ''));
  if (positional.length > names.length)
    throw new JinjaError(`gives ${positional.length} arguments, not ${names.length}`);
  for (const name of named.keys()) {
    const place = plain.indexOf(name);
    if (place < 0) throw new JinjaError(`gives an argument "${name}", which is not known`);
    if (place < positional.length) throw new JinjaError(`gives the argument "${name}" twice`);
  }
  return names.map((name, index) => {
    const value = positional[index] ?? (index < positional.length ? null : named.get(plain[index] as string));
    if (value === undefined && !name.endsWith('?')) throw new JinjaError(`gives no argument "${name}"`);
    return value;
  });
}
