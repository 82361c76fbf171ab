import { Readable } from 'node:stream';

/** Characters that are written at a time. */
const AT_A_TIME = 65_536;

/**
 * JSON of a reply that may be long, made as it is sent: of the members that `lists` names, in it and in their elements, each
 * element by itself. So its text is never whole in memory, and nobody waits for all of it.
 */
export function jsonStream(value: object, lists: readonly string[]): Readable {
  return Readable.from(inLargerPieces(piecesOf(value, new Set(lists))), { objectMode: false });
}

function* piecesOf(value: object, lists: ReadonlySet<string>): Generator<string> {
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  if (!members.some(([name]) => lists.has(name))) {
    yield JSON.stringify(value);
    return;
  }
  for (const [index, [name, member]] of members.entries()) {
    yield `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`;
    if (lists.has(name)) yield* elementPieces(member as readonly object[], lists);
    else yield JSON.stringify(member);
  }
  yield '}';
}

function* elementPieces(elements: readonly object[], lists: ReadonlySet<string>): Generator<string> {
  yield '[';
  for (const [index, element] of elements.entries()) {
    if (index > 0) yield ',';
    yield* piecesOf(element, lists);
  }
  yield ']';
}

function* inLargerPieces(pieces: Iterable<string>): Generator<string> {
  let held = '';
  for (const piece of pieces) {
    held += piece;
    if (held.length < AT_A_TIME) continue;
    yield held;
    held = '';
  }
  if (held !== '') yield held;
}
