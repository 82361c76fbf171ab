import { DiscedgeError } from '../../../domain/errors.ts';
import type { Tables } from '../tables/tables.ts';
import { formOf, IN_THE_CLEAR, type KeyedRowSeal, type RowForm } from './row-seal.ts';

const NAME = 'rowForms';
/** What the note is bound to when it is sealed. */
const BOUND = Buffer.from(NAME);

/** Which forms rows of a store may have: the first is the one that they are written in. `undefined` where none was ever sealed. */
export function readForms(
  tables: Pick<Tables, 'meta'>,
  seal: KeyedRowSeal | undefined,
): readonly RowForm[] | undefined {
  const text = tables.meta.get([NAME]);
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const note = seal?.open(bytes, BOUND);
  // Damaged, or of a key that is not there: that it is, can be seen all the same.
  return note === undefined ? [formOf(bytes)] : JSON.parse(note.toString());
}

/** To be called while the tables are written. */
export function writeForms({ meta }: Pick<Tables, 'meta'>, seal: KeyedRowSeal, forms: readonly RowForm[]): void {
  const sealedWith = forms.find((form) => form !== IN_THE_CLEAR);
  if (sealedWith === undefined) meta.remove([NAME]);
  else
    meta.put(
      [NAME],
      Buffer.from(seal.sealAs(sealedWith, Buffer.from(JSON.stringify(forms)), BOUND)).toString('base64'),
    );
}

/**
 * Which forms rows have from here on, the one that is written first. Throws `encryption_key_missing` where some may be sealed with a
 * key that is not in the ring, or would have to be written in the clear without a word that they shall.
 */
export function formsFrom(
  known: readonly RowForm[] | undefined,
  { seal, isNew }: { readonly seal: KeyedRowSeal | undefined; readonly isNew: boolean },
  folder: string,
): readonly RowForm[] {
  if (seal === undefined) {
    if (known === undefined) return [IN_THE_CLEAR];
    throw missing(
      folder,
      known.filter((form) => form !== IN_THE_CLEAR),
    );
  }
  const unknown = (known ?? []).filter((form) => !seal.knows(form));
  if (unknown.length > 0) throw missing(folder, unknown);
  if (isNew) return [seal.form];
  return [...new Set([seal.form, ...(known ?? [IN_THE_CLEAR])])];
}

function missing(folder: string, ids: readonly RowForm[]): DiscedgeError {
  const keys = ids.length === 1 ? `key ${ids[0]}` : `keys ${ids.join(', ')}`;
  return new DiscedgeError(
    'encryption_key_missing',
    `data folder ${folder} is encrypted with ${keys}, which this node was not given; ` +
      'name the file that holds it with --encryption-key-file, beneath a newer key where there is one',
  );
}
