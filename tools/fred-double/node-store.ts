import type { FredItem, FredTrigger, FredVersion, ItemPlace } from '../../src/context-store/fred/wire/contract.ts';
import { KeptItems } from './kept-items.ts';
import { nextVersion, orderOf } from './versions.ts';

/** What ends a FReD process. */
export class Panic extends Error {}

const NAME = /^[a-zA-Z0-9]+$/;

/** What a node has on disk: it is there after a restart, and gone with its folder. Nothing is synced. */
export class NodeFolder {
  readonly keygroups = new Map<string, { readonly items: KeptItems; readonly triggers: Map<string, FredTrigger> }>();
}

/**
 * The store of one run of a node's process. It keeps the versions it has seen in memory alone, and ends the process when it
 * writes to a keygroup of an earlier run.
 */
export class NodeStore {
  readonly #nodeId: string;
  readonly #folder: NodeFolder;
  readonly #now: () => number;
  readonly #seen = new Map<string, Map<string, readonly FredVersion[]>>();

  constructor({ nodeId, folder, now }: { nodeId: string; folder: NodeFolder; now: () => number }) {
    this.#nodeId = nodeId;
    this.#folder = folder;
    this.#now = now;
  }

  has(keygroup: string): boolean {
    return this.#folder.keygroups.has(keygroup);
  }

  create(keygroup: string): void {
    if (!NAME.test(keygroup)) throw new Error(`checkKeygroup failed for keygroup ${keygroup}`);
    if (this.has(keygroup)) throw new Error(`keygroup already in store: ${keygroup}`);
    this.#folder.keygroups.set(keygroup, { items: new KeptItems(this.#now), triggers: new Map() });
    this.#seen.set(keygroup, new Map());
  }

  drop(keygroup: string): void {
    this.#of(keygroup);
    this.#folder.keygroups.delete(keygroup);
    this.#seen.delete(keygroup);
  }

  items(keygroup: string): KeptItems {
    return this.#of(keygroup).items;
  }

  triggers(keygroup: string): Map<string, FredTrigger> {
    return this.#of(keygroup).triggers;
  }

  /** Writes over all that this node has seen of the id, wherever it was written. */
  write(item: ItemPlace & { readonly value: string }, expirySeconds: number): FredVersion {
    if (item.value === '') throw new Error(`checkItem failed for item ${item.id} because it is empty`);
    return this.#write(item, expirySeconds);
  }

  bury(place: ItemPlace): FredVersion {
    return this.#write({ ...place, value: '' }, 0);
  }

  /** What came from another node. What is as old as something here is dropped without a word, whatever its value. */
  add(item: FredItem & ItemPlace & { readonly isTombstone: boolean }, expirySeconds: number): void {
    this.#check(item);
    if (item.value === '' && !item.isTombstone) throw new Error(`checkItem failed for item ${item.id}: it is empty`);
    const { items, seen } = this.#writable(item.keygroup);
    const kept: FredVersion[] = [];
    for (const version of seen.get(item.id) ?? []) {
      const order = orderOf(version, item.version);
      if (order === 'equal' || order === 'older') return;
      if (order === 'newer') items.drop(item.id, [version]);
      else kept.push(version);
    }
    items.put({ id: item.id, value: item.value, version: item.version }, expirySeconds);
    seen.set(item.id, [...kept, item.version]);
  }

  #write(item: ItemPlace & { readonly value: string }, expirySeconds: number): FredVersion {
    this.#check(item);
    const { items, seen } = this.#writable(item.keygroup);
    const known = seen.get(item.id) ?? [];
    const version = nextVersion(this.#nodeId, known);
    items.drop(item.id, known);
    items.put({ id: item.id, value: item.value, version }, expirySeconds);
    seen.set(item.id, [version]);
    return version;
  }

  #check({ keygroup, id }: ItemPlace): void {
    if (!NAME.test(keygroup) || !NAME.test(id)) throw new Error(`checkItem failed for item ${id}`);
  }

  #writable(keygroup: string) {
    const { items } = this.#of(keygroup);
    const seen = this.#seen.get(keygroup);
    if (seen === undefined) throw new Panic('invalid memory address or nil pointer dereference');
    return { items, seen };
  }

  #of(keygroup: string) {
    const found = this.#folder.keygroups.get(keygroup);
    if (found === undefined) throw new Error(`no such keygroup in store: ${keygroup}`);
    return found;
  }
}
