import { DiscedgeError } from '../../domain/errors.ts';
import { nearest } from '../../domain/nearest.ts';

/** The fields that a route of this API may be sent, by what becomes of them. */
export interface Parameters {
  /** Honoured, or ignored by design, as the document of the API says. */
  readonly known: readonly string[];
  /** Known of the API and not supported here, each with the reason. */
  readonly refused: Readonly<Record<string, string>>;
}

/**
 * Throws `unsupported_parameter` for the first field that this node would have to ignore, `invalid_request` for one that
 * nobody knows.
 */
export function requireKnown(body: object, { known, refused }: Parameters): void {
  for (const name of Object.keys(body)) {
    if (known.includes(name)) continue;
    const why = Object.hasOwn(refused, name) ? refused[name] : undefined;
    if (why !== undefined) throw unsupported(name, `${name} is not supported: ${why}`);
    const meant = nearest(name, known);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    throw new DiscedgeError('invalid_request', `unknown field ${name}${hint}`, { param: name });
  }
}

export function unsupported(param: string, message: string): DiscedgeError {
  return new DiscedgeError('unsupported_parameter', message, { param });
}

export function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', message, { param });
}

/** The text, as every tokenizer can take it. Throws `invalid_request` for one with half a surrogate pair. */
export function unicode(text: string, param: string): string {
  if (text.isWellFormed()) return text;
  throw invalid(param, `${param} has half a surrogate pair: it is not Unicode text`);
}

/** The same error, where it names one of these fields by what a body calls it. */
export function withParam(error: DiscedgeError, names: Readonly<Record<string, string>>): DiscedgeError {
  const param = error.param === undefined ? undefined : names[error.param];
  return param === undefined ? error : new DiscedgeError(error.code, error.message, { param, cause: error });
}
