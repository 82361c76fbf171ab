import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** The user messages of a scenario that ships with the project. */
export function scenarioMessages(name: string): string[] {
  const text = readFileSync(new URL(`../../scenarios/${name}.yaml`, import.meta.url), 'utf8');
  return parse(text).messages;
}
