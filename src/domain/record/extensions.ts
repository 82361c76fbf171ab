import { type ByteReader, type ByteWriter, MalformedBytes } from '../bytes.ts';

/**
 * What a record carries beside its own fields, by name. Nodes keep it and pass it on whether or not they know the name; it
 * is part of what is hashed, and a fork's copies carry it on. So an extension must not depend on the session's id, the
 * parent's hash or the node.
 */
export type Extensions = ReadonlyMap<string, Uint8Array>;

/** Names in one record: what a handful of features need, and little to go through for a node that knows none of them. */
export const EXTENSIONS_MAX = 16;
/** A name is its owner's and its own, for example `acme.billing`; it becomes a key in JSON and a word in logs. */
export const EXTENSION_NAME_BYTES_MAX = 64;
/** Of all values together: nodes pay for what they cannot read, so what is large goes elsewhere and is named by digest. */
export const EXTENSION_BYTES_MAX = 16_384;

/** Why no record may carry these; `undefined` when one may. */
export function extensionsFault(extensions: Extensions): string | undefined {
  if (extensions.size > EXTENSIONS_MAX) return `${extensions.size} extensions`;
  let bytes = 0;
  for (const [name, value] of extensions) {
    if (name.length > EXTENSION_NAME_BYTES_MAX || !/^[a-z0-9][a-z0-9._-]*$/.test(name))
      return 'a malformed name of an extension';
    bytes += value.length;
  }
  return bytes > EXTENSION_BYTES_MAX ? `extensions of ${bytes} bytes` : undefined;
}

/** In the order of their names, so that equal ones have equal bytes. */
export function writeExtensions(extensions: Extensions | undefined, writer: ByteWriter): void {
  writer.varint(extensions?.size ?? 0);
  for (const [name, value] of [...(extensions ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
    writer.text(name);
    writer.varint(value.length);
    writer.raw(value);
  }
}

export function readExtensions(reader: ByteReader): { readonly extensions?: Extensions } {
  const extensions = new Map<string, Uint8Array>();
  let before = '';
  for (let left = reader.varint(EXTENSIONS_MAX); left > 0; left--) {
    const name = reader.text(EXTENSION_NAME_BYTES_MAX);
    if (name <= before) throw new MalformedBytes('extensions out of order');
    // A copy: the bytes lie in a larger buffer, which they would keep in memory.
    extensions.set(name, Uint8Array.from(reader.raw(reader.varint(EXTENSION_BYTES_MAX))));
    before = name;
  }
  return extensions.size === 0 ? {} : { extensions };
}

/** The same but for one of them. */
export function withoutExtension(extensions: Extensions, name: string): Extensions {
  return new Map([...extensions].filter(([other]) => other !== name));
}

/** What several carry, the later ones before the earlier; `undefined` for nothing. */
export function joinedExtensions(...several: readonly (Extensions | undefined)[]): Extensions | undefined {
  const [first, ...rest] = several.filter((one) => one !== undefined && one.size > 0) as Extensions[];
  return rest.length === 0 ? first : new Map([first, ...rest].flatMap((one) => [...(one as Extensions)]));
}
