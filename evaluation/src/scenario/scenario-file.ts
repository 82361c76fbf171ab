import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { nearest } from 'discedge/internal/domain/nearest';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { type Document, isScalar, LineCounter, parseDocument } from 'yaml';
import {
  LOCATION_SCHEMA,
  NODE_SCHEMA,
  SCENARIO_DEFAULTS,
  SCENARIO_SCHEMA,
  type Scenario,
  type ScenarioKeys,
  type ScenarioNode,
  type ScenarioTurn,
} from './scenario.ts';

/** Longest conversation there may be, with room to spare; what is larger is no scenario. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Reads a scenario file. Throws `scenario_invalid` with every problem found, one a line, each with its place. */
export async function readScenario(path: string): Promise<Scenario> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes; at most ${FILE_BYTES_MAX} make a scenario`);
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (cause as Error).message;
    throw new DiscedgeError('scenario_invalid', `${path} cannot be read: ${reason}`, { cause });
  }
  return parseScenario(text, path);
}

/** As {@link readScenario}, from text; `path` is for messages, and names a scenario that has no name. */
export function parseScenario(text: string, path: string): Scenario {
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: true, lineCounter: lines });
  const reader = new Reader(path, document, lines);
  for (const { message } of document.errors) reader.problem([], `not YAML: ${message.split('\n', 1)[0]}`);
  const content = document.errors.length === 0 ? reader.content() : undefined;
  if (reader.problems.length === 0) {
    if (content === null || content === undefined) {
      reader.problem([], 'is empty: a scenario needs a name and messages; scenarios/README.md describes it');
    } else {
      const scenario = reader.scenario(content);
      if (scenario !== undefined) return scenario;
    }
  }
  throw new DiscedgeError('scenario_invalid', reader.problems.join('\n'));
}

type Place = readonly (string | number)[];
type Schemas = Readonly<Record<string, TSchema>>;

class Reader {
  readonly problems: string[] = [];
  readonly #path: string;
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;

  constructor(path: string, document: Document.Parsed, lines: LineCounter) {
    this.#path = path;
    this.#document = document;
    this.#lines = lines;
  }

  problem(place: Place, what: string): void {
    this.problems.push(`${this.#path}${this.#lineOf(place)}: ${what}`);
  }

  /** What the document holds; complains about an alias without an anchor, which is no error of its syntax. */
  content(): unknown {
    try {
      return this.#document.toJS();
    } catch (error) {
      this.problem([], `not YAML: ${(error as Error).message}; a text that begins with * needs quotes`);
      return undefined;
    }
  }

  scenario(content: unknown): Scenario | undefined {
    const keys = this.#object([], content, SCENARIO_SCHEMA, 'a scenario') as ScenarioKeys | undefined;
    if (keys === undefined) return undefined;
    const { nodes, turns, route } = this.#course(keys);
    const thinkMs = rangeOf(keys.think_ms ?? 0);
    if (thinkMs[0] > thinkMs[1]) this.problem(['think_ms'], 'think_ms must have the smaller number first');
    if (this.problems.length > 0) return undefined;
    const defaults = SCENARIO_DEFAULTS;
    return {
      name: keys.name ?? basename(this.#path).replace(/\.ya?ml$/i, ''),
      modelName: keys.model_name,
      userId: keys.user_id ?? defaults.userId,
      system: keys.system,
      nodes,
      route,
      turns,
      thinkMs,
      users: keys.users ?? defaults.users,
      repeats: keys.repeats ?? defaults.repeats,
      // The prototype's files have neither key, and their texts are taken as they are.
      numbered: keys.users !== undefined || keys.repeats !== undefined,
      seed: keys.seed ?? defaults.seed,
      temperature: keys.temperature ?? defaults.temperature,
      maxTokens: keys.max_tokens ?? defaults.maxTokens,
      consistency: keys.consistency,
      maxWaitMs: keys.max_wait_ms,
      clientRetries: keys.client_retries ?? defaults.clientRetries,
      stream: keys.stream ?? defaults.stream,
    };
  }

  /** Which message goes where: from `locations`, or from `messages` with `nodes` and `route`. */
  #course(keys: ScenarioKeys): Pick<Scenario, 'nodes' | 'turns' | 'route'> {
    const { messages, locations, nodes, route } = keys;
    if (locations !== undefined) {
      if (messages !== undefined) this.problem(['messages'], 'messages and locations exclude each other');
      if (nodes !== undefined) this.problem(['nodes'], 'locations name the nodes already: leave nodes out');
      if (route !== undefined) this.problem(['route'], 'locations are the route already: leave route out');
      return { route: 'as-told', ...this.#locations(locations) };
    }
    if (messages === undefined) {
      // A list that was refused has been complained about.
      if (this.problems.length === 0) this.problem([], 'has no messages (or locations with messages)');
      return { nodes: [], turns: [], route: 'stay' };
    }
    const known = nodes === undefined ? [{ name: 'edge-1', url: undefined }] : this.#nodes(nodes);
    if (route === undefined || typeof route === 'string') {
      if (route !== undefined && nodes === undefined) this.problem(['route'], 'route needs nodes to choose from');
      return { nodes: known, turns: messages.map((message) => ({ message, node: undefined })), route: route ?? 'stay' };
    }
    const stops = route.map((name, index) => this.#nodeIndex(name, known, ['route', index]));
    const turns = messages.map((message, index) => ({ message, node: stops[index % stops.length] }));
    return { nodes: known, turns, route: 'as-told' };
  }

  #nodes(items: readonly unknown[]): ScenarioNode[] {
    const nodes: ScenarioNode[] = [];
    for (const [index, item] of items.entries()) {
      const place = ['nodes', index];
      const given = typeof item === 'string' ? { name: item } : item;
      const node = this.#object(place, given, NODE_SCHEMA, 'a node') as { name?: string; api_url?: string } | undefined;
      if (node === undefined) continue;
      if (node.name === undefined) this.problem(place, 'a node needs a name');
      else if (nodes.some(({ name }) => name === node.name)) this.problem(place, `nodes has ${node.name} twice`);
      else nodes.push({ name: node.name, url: this.#url(node.api_url, [...place, 'api_url']) });
    }
    return nodes;
  }

  #nodeIndex(name: string, nodes: readonly ScenarioNode[], place: Place): number {
    const index = nodes.findIndex((node) => node.name === name);
    if (index === -1) {
      const names = nodes.map((node) => node.name);
      this.problem(place, `route: no node is called "${name}"${meant(nearest(name, names))}`);
    }
    return index;
  }

  #locations(items: readonly unknown[]): { nodes: ScenarioNode[]; turns: ScenarioTurn[] } {
    const nodes: ScenarioNode[] = [];
    const turns: ScenarioTurn[] = [];
    for (const [index, item] of items.entries()) {
      const place = ['locations', index];
      const location = this.#object(place, item, LOCATION_SCHEMA, 'a location') as
        | { name?: string; api_url?: string; messages?: string[] }
        | undefined;
      if (location === undefined) continue;
      const { name, api_url: given, messages } = location;
      const url = this.#url(given, [...place, 'api_url']);
      if (name === undefined && url === undefined) this.problem(place, 'a location needs a name or an api_url');
      if (messages === undefined) {
        if (!hasOwn(item, 'messages')) this.problem(place, 'a location needs messages');
        continue;
      }
      // In the prototype's files it is the URL that tells two locations apart.
      let node = nodes.findIndex((known) => (url === undefined ? known.name === name : known.url === url));
      if (node === -1) node = nodes.push({ name: name ?? (url as string), url }) - 1;
      turns.push(...messages.map((message) => ({ message, node })));
    }
    if (nodes.some(({ url }) => url === undefined) && nodes.some(({ url }) => url !== undefined)) {
      this.problem(['locations'], 'give every location its api_url, or none');
    }
    return { nodes, turns };
  }

  /** Origin of a node; the prototype's files may name its route too. */
  #url(given: string | undefined, place: Place): string | undefined {
    if (given === undefined) return undefined;
    const url = URL.canParse(given) ? new URL(given) : undefined;
    if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
      this.problem(place, `api_url must look like http://HOST:PORT, not "${given}"`);
      return undefined;
    }
    return url.href.replace(/\/completions?\/?$/, '').replace(/\/+$/, '');
  }

  /** The known keys with sound values; complains about all others. `undefined` when it is no mapping. */
  #object(place: Place, given: unknown, schemas: Schemas, what: string): Record<string, unknown> | undefined {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      this.problem(place, `${what} must be a list of keys, one "name: value" a line`);
      return undefined;
    }
    const sound: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(given)) {
      const schema = hasOwn(schemas, key) ? schemas[key] : undefined;
      const here = [...place, key];
      if (schema === undefined) this.problem(here, `unknown key "${key}"${meant(nearest(key, Object.keys(schemas)))}`);
      else if (value === null) this.problem(here, `${key} has no value; leave the line out for the default`);
      else {
        const read = this.#asWritten(here, value, schema);
        if (Value.Check(schema, read)) sound[key] = read;
        else this.#complain(here, key, read, schema);
      }
    }
    return sound;
  }

  /** YAML makes a number of `user_id: 007` and a truth value of `- yes`; where text is meant, what was written is. */
  #asWritten(place: Place, value: unknown, schema: TSchema): unknown {
    const { type, items } = schema as { type?: string; items?: TSchema };
    if (type === 'array' && items !== undefined && Array.isArray(value))
      return value.map((item, index) => this.#asWritten([...place, index], item, items));
    if (type !== 'string' || (typeof value !== 'number' && typeof value !== 'boolean')) return value;
    const node = this.#document.getIn(place, true);
    return (isScalar(node) ? node.source : undefined) ?? String(value);
  }

  #complain(place: Place, key: string, value: unknown, schema: TSchema): void {
    const { items } = schema as { items?: TSchema };
    const wrong =
      Array.isArray(value) && items !== undefined ? value.findIndex((item) => !Value.Check(items, item)) : -1;
    if (wrong >= 0) this.problem([...place, wrong], `${key}: entry ${wrong + 1} must be ${saysOf(items as TSchema)}`);
    else this.problem(place, `${key} must be ${saysOf(schema)}`);
  }

  #lineOf(place: Place): string {
    for (let depth = place.length; depth > 0; depth--) {
      const node = this.#document.getIn(place.slice(0, depth), true) as
        | { range?: readonly number[] | null }
        | undefined;
      if (node?.range) return `:${this.#lines.linePos(node.range[0] as number).line}`;
    }
    return '';
  }
}

function rangeOf(thinkMs: number | readonly [number, number]): readonly [number, number] {
  return typeof thinkMs === 'number' ? [thinkMs, thinkMs] : thinkMs;
}

function saysOf(schema: TSchema): string {
  return (schema as { says?: string }).says ?? 'something else';
}

function meant(name: string | undefined): string {
  return name === undefined ? '' : `: did you mean "${name}"?`;
}

function hasOwn(object: unknown, key: string): boolean {
  return typeof object === 'object' && object !== null && Object.hasOwn(object, key);
}
