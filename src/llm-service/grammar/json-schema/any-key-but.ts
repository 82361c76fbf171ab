/** GBNF of the JSON strings that are none of `names` (at least one); `char` is the rule of a character of a string. */
export function anyKeyBut(names: readonly string[], char: string): string {
  const root: Node = { isName: false, next: new Map() };
  for (const name of names) {
    let node = root;
    // As JSON spells it, without its quotes: that is what the grammar sees.
    for (const letter of [...JSON.stringify(name).slice(1, -1)]) {
      const known = node.next.get(letter);
      const next = known ?? { isName: false, next: new Map() };
      if (known === undefined) node.next.set(letter, next);
      node = next;
    }
    node.isName = true;
  }
  return `"\\"" ${differing(root, char)} "\\""`;
}

interface Node {
  isName: boolean;
  readonly next: Map<string, Node>;
}

/** What can follow where the names have been spelled so far, so that none of them comes of it. */
function differing({ isName, next }: Node, char: string): string {
  const letters = [...next.keys()];
  const ways = letters.map((letter) => {
    const node = next.get(letter) as Node;
    const rest = node.next.size === 0 ? `${char}+` : differing(node, char);
    return `[${inClass(letter)}] ${rest}`;
  });
  // A backslash begins an escape, whose other spellings of a name a grammar cannot tell apart: it is left out here.
  ways.push(`[^"\\\\\\x7F\\x00-\\x1F${letters.map(inClass).join('')}] ${char}*`);
  const some = `(${ways.join(' | ')})`;
  return isName ? some : `${some}?`;
}

function inClass(letter: string): string {
  return /[\]\\^"-]/.test(letter) ? `\\x${letter.charCodeAt(0).toString(16).toUpperCase()}` : letter;
}
