import { Type } from 'typebox';
import {
  type ContextId,
  ID_BYTES_MAX,
  ID_PATTERN,
  ID_RULE,
  isId,
  type SessionId,
  TURN_MAX,
  type TurnNumber,
  type UserId,
} from '../../domain/identifiers.ts';
import { TOKEN_ID_MAX, type TokenId } from '../../domain/token-sequence.ts';

/*
 * Fields of requests that carry more than their JSON type: what a schema lets through is checked and has its brand, so that
 * nothing behind it checks or casts again.
 */

type Said = { readonly description?: string };

const id = (said: Said) =>
  Type.Refine(
    Type.String({ minLength: 1, maxLength: ID_BYTES_MAX, pattern: ID_PATTERN, ...said }),
    isId,
    () => ID_RULE,
  );

/** 1 to 128 bytes. */
export const sessionId = (said: Said = {}) => Type.Unsafe<SessionId>(id(said));

/** 1 to 128 bytes. */
export const userId = (said: Said = {}) => Type.Unsafe<UserId>(id(said));

export const turnNumber = (said: Said = {}) =>
  Type.Unsafe<TurnNumber>(Type.Integer({ minimum: 1, maximum: TURN_MAX, ...said }));

export const contextId = (said: Said = {}) =>
  Type.Unsafe<ContextId>(Type.String({ pattern: '^[0-9a-f]{32}$', ...said }));

export const tokenId = () => Type.Unsafe<TokenId>(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX }));

export const milliseconds = (said: Said) => Type.Integer({ minimum: 0, ...said });

/** One of a closed list. */
export const choice = <const Values extends readonly string[]>(values: Values, said: Said = {}) =>
  Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...said });

/** Text that every tokenizer can take: not empty, real Unicode. */
export const modelText = (said: Said = {}) =>
  Type.Refine(
    Type.String(said),
    (text) => faultOf(text) === undefined,
    (text) => faultOf(text) ?? '',
  );

/** Real Unicode, or nothing. */
export const unicodeText = (said: Said = {}) =>
  Type.Refine(
    Type.String(said),
    (text) => text === '' || faultOf(text) === undefined,
    (text) => faultOf(text) ?? '',
  );

function faultOf(text: string): string | undefined {
  if (text === '') return 'is empty';
  return text.isWellFormed() ? undefined : 'has half a surrogate pair: it is not Unicode text';
}
