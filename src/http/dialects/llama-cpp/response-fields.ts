/**
 * What is left of a reply when `response_fields` names fields: those, each under the name it was asked for. A slash leads
 * into an object (`timings/prompt_n`); what is not there is left out. No names: the whole reply.
 */
export function onlyFields<Reply extends object>(reply: Reply, names: readonly string[]): Partial<Reply> | Reply {
  if (names.length === 0) return reply;
  const found = names.map((name): [string, unknown] => [name, valueAt(reply, name.split('/'))]);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined)) as Partial<Reply>;
}

/** Whether any of the field is left. */
export function isWanted(field: string, names: readonly string[] = []): boolean {
  return names.length === 0 || names.some((name) => name.split('/')[0] === field);
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, name) => {
    const isObject = typeof inner === 'object' && inner !== null && Object.hasOwn(inner, name);
    return isObject ? (inner as Record<string, unknown>)[name] : undefined;
  }, value);
}
