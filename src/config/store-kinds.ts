import type { NodeId } from '../domain/identifiers.ts';
import type { Complain } from './given-settings.ts';
import {
  fredAddressOf,
  natsUrlOf,
  type ReplicationConfig,
  readFredReplication,
  readNatsReplication,
} from './replication-config.ts';
import type { Settings } from './settings/settings.ts';

/** What a kind of context store means for the configuration. */
export interface StoreTraits {
  /** Whether other nodes get its contexts. */
  readonly shares: boolean;
  /** Whether other nodes are named to it. */
  readonly takesPeers?: boolean;
  /** Whether it keeps anything in the data folder. */
  readonly keepsFiles: boolean;
  /** What the setting `store` may say in place of the name. */
  readonly address?: {
    readonly form: string;
    readonly matches: (text: string) => boolean;
    /** The name alone says too little. */
    readonly isNeeded?: boolean;
  };
  /** What versions up to 0.1.0 called it; taken for the name. */
  readonly earlierName?: string;
  /** Reads the settings that only a store which shares has. */
  readonly settings?: (settings: Settings, nodeId: NodeId | undefined, complain: Complain) => ReplicationConfig;
}

/** A kind of context store under its name. */
export interface StoreKind extends StoreTraits {
  readonly name: string;
}

/** The kinds of context store there are, by name; `edge-node/stores/open-context-store.ts` opens each. */
export const STORE_KINDS = {
  leveldb: { shares: false, keepsFiles: true, earlierName: 'lmdb' },
  memory: { shares: false, keepsFiles: false },
  nats: {
    shares: true,
    takesPeers: true,
    keepsFiles: true,
    address: { form: 'nats://HOST:PORT', matches: (text) => natsUrlOf(text) !== undefined },
    settings: readNatsReplication,
  },
  fred: {
    shares: true,
    keepsFiles: true,
    address: { form: 'fred://HOST:PORT', matches: (text) => fredAddressOf(text) !== undefined, isNeeded: true },
    settings: readFredReplication,
  },
} as const satisfies Readonly<Record<string, StoreTraits>>;

export type StoreName = keyof typeof STORE_KINDS;
export type StoreKinds = Readonly<Record<string, StoreTraits>>;

/** The kinds that share contexts, as people read them: `nats or fred`. */
export function sharingStores(kinds: StoreKinds = STORE_KINDS): string {
  return storesThat(({ shares }) => shares, kinds);
}

/** The kinds of which this holds, as people read them. */
export function storesThat(holds: (traits: StoreTraits) => boolean, kinds: StoreKinds): string {
  return Object.entries(kinds)
    .flatMap(([name, traits]) => (holds(traits) ? [name] : []))
    .join(' or ');
}

/**
 * What the setting `store` names. Complains when it is none of the kinds, and takes it for one that shares, so that what is
 * wrong with the settings of those is found as well.
 */
export function readStoreKind(store: string, kinds: StoreKinds, complain: Complain): StoreKind {
  const all = Object.entries(kinds).map(([name, traits]) => ({ name, ...traits }));
  const named = all.find(
    ({ name, earlierName, address }) =>
      (name === store && address?.isNeeded !== true) || earlierName === store || address?.matches(store),
  );
  if (named !== undefined) return named;
  const forms = all.flatMap(({ name, address }) => [
    ...(address?.isNeeded === true ? [] : [name]),
    ...(address === undefined ? [] : [address.form]),
  ]);
  complain('store', `must be ${forms.slice(0, -1).join(', ')} or ${forms.at(-1)}, not "${store}"`);
  return all.find(({ shares }) => shares) as StoreKind;
}
