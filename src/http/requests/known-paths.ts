import type { FastifyInstance } from 'fastify';

/** The paths of an app, for requests whose method they do not have. */
export class KnownPaths {
  readonly #methods = new Map<string, Set<string>>();

  /** Learns the routes that are added to the app afterwards. */
  watch(app: FastifyInstance): void {
    app.addHook('onRoute', ({ url, method }) => {
      const methods = this.#methods.get(url) ?? new Set();
      for (const one of [method].flat()) methods.add(one);
      this.#methods.set(url, methods);
    });
  }

  /** What a path can be asked, for the header `allow`; `undefined` where there is no such path. */
  allowedAt(path: string): string | undefined {
    const known = [...this.#methods].find(([url]) => patternOf(url).test(path));
    return known === undefined ? undefined : [...known[1], 'OPTIONS'].join(', ');
  }
}

function patternOf(url: string): RegExp {
  const parts = url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : part.replaceAll('.', '\\.')));
  return new RegExp(`^${parts.join('/')}/?$`);
}
