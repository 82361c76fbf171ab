import { eventsOf } from '../../../tools/test-node.ts';
import type { ApiCase } from './cases.ts';

/** What a server answered, as far as it is compared: a path for each field, down to those of objects in arrays. */
export type Observation = ReadonlyMap<string, unknown>;

export async function observe(url: string, { method = 'POST', path, body, raw, headers, only }: ApiCase) {
  const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(text === undefined ? {} : { body: text }),
  });
  const seen = new Map<string, unknown>([['status', response.status]]);
  for (const name of ['origin', 'credentials', 'methods', 'headers']) {
    const header = `access-control-allow-${name}`;
    if (headers?.Origin !== undefined) put(seen, `header ${header}`, response.headers.get(header) ?? undefined);
  }
  const answer = await response.text();
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) putStream(seen, eventsOf(answer));
  else put(seen, '', jsonOf(answer));
  if (only === undefined) return seen;
  return new Map([...seen].filter(([field]) => field === 'status' || only.includes(field)));
}

/** The text that the parts make together, the fields that any part has, and those of the end. */
function putStream(seen: Map<string, unknown>, events: ReturnType<typeof eventsOf>): void {
  const end = events.at(-1);
  const parts = events.slice(0, -1);
  put(seen, 'text of the parts', parts.map(({ content }) => content).join(''));
  for (const part of parts) {
    if (part.prompt_progress === undefined) put(seen, 'part.', part);
    else put(seen, 'progress.', part);
  }
  put(seen, 'end.', end);
}

function put(seen: Map<string, unknown>, path: string, value: unknown): void {
  if (value === undefined) return;
  if (Array.isArray(value) && value.some((item) => typeof item === 'object' && item !== null)) {
    seen.set(`${path}[]`, value.length);
    for (const item of value) put(seen, `${path}[].`, item);
  } else if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    const inside = path === '' || path.endsWith('.') ? path : `${path}.`;
    for (const [name, inner] of Object.entries(value)) put(seen, `${inside}${name}`, inner);
  } else {
    seen.set(path.replace(/\.$/, ''), value);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
