const NONE = new Uint8Array();

/**
 * The newest of a document's versions, each of which says its number; of two that nodes have written while apart, the same one at
 * every node. What `read` makes nothing of is passed over: a later version of this program may have written it.
 */
export function newestVersion<T extends { readonly version: number }>(
  versions: readonly Uint8Array[],
  read: (content: Uint8Array) => T | undefined,
): { readonly stored: T; readonly content: Uint8Array } | undefined {
  let newest: { readonly stored: T; readonly content: Uint8Array } | undefined;
  for (const content of versions) {
    const stored = read(content);
    if (stored === undefined) continue;
    const order = stored.version - (newest?.stored.version ?? 0) || Buffer.compare(content, newest?.content ?? NONE);
    if (order > 0) newest = { stored, content };
  }
  return newest;
}
