import { ANONYMOUS, type UserId } from '../domain/identifiers.ts';

/** Whose sessions a request means, by the name that its client gives: OpenAI's field `user`, llama.cpp's `user_id`. */
export function ownerOf(name: UserId | undefined): UserId {
  return name ?? ANONYMOUS;
}
