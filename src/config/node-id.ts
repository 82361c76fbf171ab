import { hostname } from 'node:os';
import { type NodeId, parseNodeId } from '../domain/identifiers.ts';
import type { GivenSettings } from './given-settings.ts';

/** The one that is given, or what the host name makes. `undefined` where there was something to complain about. */
export function readNodeId(given: GivenSettings): NodeId | undefined {
  try {
    return parseNodeId(given.settings.nodeId ?? nodeIdFromHostName(hostname()));
  } catch (error) {
    given.problems.push(`${given.placeOf('nodeId') ?? 'nodeId'}: ${(error as Error).message}`);
    return undefined;
  }
}

/** Longest node id that `parseNodeId` takes. */
const NODE_ID_CHARS_MAX = 32;

export function nodeIdFromHostName(name: string): string {
  const id = name
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, NODE_ID_CHARS_MAX)
    .replace(/[-_]+$/, '');
  return id === '' ? 'node' : id;
}
