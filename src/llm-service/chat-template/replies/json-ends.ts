interface Scan {
  /** Up to where the text was gone through. */
  at: number;
  depth: number;
  inString: boolean;
}

/** Where JSON ends in a text that grows: what was gone through before is not gone through again. */
export class JsonEnds {
  readonly #scans = new Map<number, Scan>();

  /** Behind the object or list that begins at `from`; `undefined` while it is not complete. */
  find(text: string, from: number): number | undefined {
    const scan = this.#scans.get(from) ?? { at: from, depth: 0, inString: false };
    this.#scans.set(from, scan);
    for (; scan.at < text.length; scan.at++) {
      const character = text[scan.at];
      if (scan.inString) {
        if (character === '\\') scan.at++;
        else if (character === '"') scan.inString = false;
      } else if (character === '"') scan.inString = true;
      else if (character === '{' || character === '[') scan.depth++;
      else if (character === '}' || character === ']') {
        if (scan.depth === 1) return scan.at + 1;
        scan.depth--;
      }
    }
    return undefined;
  }
}
