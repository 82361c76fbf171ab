import type { Extensions } from './extensions.ts';
import type { TurnRecord } from './turn-record.ts';

declare const brand: unique symbol;
/** 16 lower-case hex digits, drawn before a turn is answered: names its record while the hash cannot, for that is not known yet. */
export type AnswerId = string & { readonly [brand]: 'AnswerId' };

export const ANSWER_ID_BYTES = 8;

const ANSWER_ID = 'discedge.answer-id';

export function answerIdFrom(bytes: Uint8Array): AnswerId {
  return Buffer.from(bytes).toString('hex') as AnswerId;
}

/** As a record carries it. */
export function answerIdExtension(id: AnswerId): Extensions {
  return new Map([[ANSWER_ID, Uint8Array.from(Buffer.from(id, 'hex'))]]);
}

/** `undefined` for a turn that was taken without one. */
export function answerIdOf({ extensions }: Pick<TurnRecord, 'extensions'>): AnswerId | undefined {
  const bytes = extensions?.get(ANSWER_ID);
  return bytes?.length === ANSWER_ID_BYTES ? answerIdFrom(bytes) : undefined;
}
