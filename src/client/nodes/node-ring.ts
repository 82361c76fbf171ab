import { DiscedgeClientError } from '../errors.ts';

/** The edge nodes a client knows, in order of preference, and the one it is with. */
export class NodeRing {
  readonly #urls: string[];
  #index = 0;

  /** Throws `invalid_use` without any node, and for one that is not an http(s) URL. */
  constructor(urls: readonly string[], current?: string) {
    this.#urls = [...new Set(urls.map(normalizeNodeUrl))];
    if (this.#urls.length === 0) {
      throw new DiscedgeClientError('at least one node URL is needed', { code: 'invalid_use' });
    }
    if (current !== undefined) this.moveTo(current);
  }

  get current(): string {
    return this.#urls[this.#index] as string;
  }

  get urls(): readonly string[] {
    return this.#urls;
  }

  /** Whether it is among them. */
  knows(url: string): boolean {
    return this.#urls.includes(normalizeNodeUrl(url));
  }

  /** Goes to a node, which becomes known if it was not. */
  moveTo(url: string): void {
    const wanted = normalizeNodeUrl(url);
    if (!this.#urls.includes(wanted)) this.#urls.push(wanted);
    this.#index = this.#urls.indexOf(wanted);
  }

  /** Knows these in this order, and those that it knew and are not among them after; goes to the first. */
  arrange(urls: readonly string[]): void {
    const known = this.#urls.splice(0);
    this.#urls.push(...new Set([...urls.map(normalizeNodeUrl), ...known]));
    this.#index = 0;
  }

  /** Goes to the next node, if there is another. */
  advance(): void {
    this.#index = (this.#index + 1) % this.#urls.length;
  }
}

/** Without a slash at its end, so that paths can be appended. */
export function normalizeNodeUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new DiscedgeClientError(`a node URL must look like http://HOST:PORT, not "${url}"`, { code: 'invalid_use' });
  }
  return parsed.href.replace(/\/+$/, '');
}
