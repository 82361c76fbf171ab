import { attributeOf } from './methods.ts';
import { itemOf } from './operators.ts';
import { repr } from './text.ts';
import { orUndefined, typeName, Undefined, type Value } from './values.ts';

/** `of.name`: an attribute, else an item. */
export function getAttribute(of: Value, name: string): Value {
  const attribute = attributeOf(of, name);
  if (attribute !== undefined) return attribute;
  return orUndefined(itemOf(of, name), `${typeName(of)}.${name}`);
}

/** `of[key]`: an item, else an attribute. */
export function getItem(of: Value, key: Value): Value {
  if (of instanceof Undefined) of.fail();
  const item = itemOf(of, key);
  if (item !== undefined) return item;
  const attribute = typeof key === 'string' ? attributeOf(of, key) : undefined;
  return orUndefined(attribute, `${typeName(of)}[${typeof key === 'string' ? repr(key) : typeName(key)}]`);
}
