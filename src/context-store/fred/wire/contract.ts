import { fromJSON, type Options } from '@grpc/proto-loader';

/*
 * What FReD 0.2 speaks, as far as a store of turn records needs it. Written from its field numbers; names of messages and
 * fields are not on the wire and are ours, those of services and methods are its own.
 */

/** A number per FReD node that has written the item. */
export type FredVersion = Readonly<Record<string, number>>;

export interface FredItem {
  readonly id: string;
  /** Empty for an item that was deleted. */
  readonly value: string;
  readonly version: FredVersion;
}

export interface FredKey {
  readonly id: string;
  readonly version: FredVersion;
}

/** A FReD node and the `host:port` at which clients reach it. */
export interface FredNode {
  readonly nodeId: string;
  readonly host: string;
}

export interface FredReplica extends FredNode {
  /** Of items that arrive at this node, from their arrival there; 0 for never. */
  readonly expirySeconds: number;
}

export interface FredKeygroup {
  readonly isMutable: boolean;
  readonly replicas: readonly FredReplica[];
}

/** Where a FReD node tells of what was written. */
export interface FredTrigger {
  readonly triggerId: string;
  /** `host:port`; the certificate shown there has to name the host. */
  readonly host: string;
}

/** The five things a client's common name may be allowed in a keygroup; its creator has all. */
export const FRED_ROLES = {
  read: 0,
  write: 1,
  configureReplica: 2,
  configureTrigger: 3,
  configureKeygroups: 4,
} as const;

export interface KeygroupName {
  readonly keygroup: string;
}

export interface ItemPlace extends KeygroupName {
  readonly id: string;
}

export interface ItemRange extends ItemPlace {
  readonly count: number;
}

export type Empty = Record<never, never>;
type Field = [name: string, type: string, number: number, rule?: 'repeated'];

/** One method: a message there, a message back. */
export interface Unary<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (response: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** `mcc.fred.client.Client`, which clients of a FReD node call. */
export type ClientMethods = {
  readonly CreateKeygroup: Unary<KeygroupName & { isMutable: boolean; expirySeconds: number }, Empty>;
  readonly AddReplica: Unary<KeygroupName & { nodeId: string; expirySeconds: number }, Empty>;
  readonly RemoveReplica: Unary<KeygroupName & { nodeId: string }, Empty>;
  readonly GetKeygroupInfo: Unary<KeygroupName, FredKeygroup>;
  readonly GetAllReplica: Unary<Empty, { readonly replicas: readonly FredNode[] }>;
  readonly AddTrigger: Unary<KeygroupName & FredTrigger, Empty>;
  readonly RemoveTrigger: Unary<KeygroupName & { triggerId: string }, Empty>;
  readonly GetKeygroupTriggers: Unary<KeygroupName, { readonly triggers: readonly FredTrigger[] }>;
  readonly AddUser: Unary<KeygroupName & { user: string; role: number }, Empty>;
  readonly Update: Unary<ItemPlace & { value: string }, { readonly version: VersionMessage | null }>;
  readonly Read: Unary<ItemPlace, { readonly items: readonly ItemMessage[] }>;
  readonly Delete: Unary<ItemPlace, { readonly version: VersionMessage | null }>;
  readonly Scan: Unary<ItemRange, { readonly items: readonly ItemMessage[] }>;
  readonly Keys: Unary<ItemRange, { readonly keys: readonly KeyMessage[] }>;
};

/** `mcc.fred.trigger.TriggerNode`, which a FReD node calls. A remote deletion comes as a put of an empty value. */
export type TriggerMethods = {
  readonly PutItemTrigger: Unary<ItemPlace & { value: string }, Empty>;
  readonly DeleteItemTrigger: Unary<ItemPlace, Empty>;
};

export interface VersionMessage {
  readonly ticks: FredVersion;
}

export interface ItemMessage {
  readonly id: string;
  readonly value: string;
  readonly version: VersionMessage | null;
}

export interface KeyMessage {
  readonly id: string;
  readonly version: VersionMessage | null;
}

const KEYGROUP: Field = ['keygroup', 'string', 1];
const ID: Field = ['id', 'string', 2];

const CLIENT_MESSAGES = {
  Empty: message(),
  Version: { fields: { ticks: { keyType: 'string', type: 'uint64', id: 1 } } },
  Item: message(['id', 'string', 1], ['value', 'string', 2], ['version', 'Version', 3]),
  Key: message(['id', 'string', 1], ['version', 'Version', 2]),
  Node: message(['nodeId', 'string', 1], ['host', 'string', 2]),
  Replica: message(['nodeId', 'string', 1], ['expirySeconds', 'int64', 2], ['host', 'string', 3]),
  Trigger: message(['triggerId', 'string', 1], ['host', 'string', 2]),
  Keygroup: message(KEYGROUP),
  NewKeygroup: message(KEYGROUP, ['isMutable', 'bool', 2], ['expirySeconds', 'int64', 3]),
  KeygroupInfo: message(['isMutable', 'bool', 1], ['replicas', 'Replica', 2, 'repeated']),
  Nodes: message(['replicas', 'Node', 1, 'repeated']),
  NewReplica: message(KEYGROUP, ['nodeId', 'string', 2], ['expirySeconds', 'int64', 3]),
  GoneReplica: message(KEYGROUP, ['nodeId', 'string', 2]),
  NewTrigger: message(KEYGROUP, ['triggerId', 'string', 2], ['host', 'string', 3]),
  GoneTrigger: message(KEYGROUP, ['triggerId', 'string', 2]),
  Triggers: message(['triggers', 'Trigger', 1, 'repeated']),
  UserRole: message(['user', 'string', 1], ['keygroup', 'string', 2], ['role', 'int32', 3]),
  Place: message(KEYGROUP, ID),
  Range: message(KEYGROUP, ID, ['count', 'uint64', 3]),
  NewItem: message(KEYGROUP, ID, ['value', 'string', 3]),
  Written: message(['version', 'Version', 1]),
  Items: message(['items', 'Item', 1, 'repeated']),
  KeyList: message(['keys', 'Key', 1, 'repeated']),
};

const TRIGGER_MESSAGES = {
  Empty: message(),
  PutItem: message(KEYGROUP, ID, ['value', 'string', 3]),
  Place: message(KEYGROUP, ID),
};

/** 64-bit numbers are counters and seconds, far below 2^53. What a message leaves out is its type's zero. */
const DECODING: Options = { longs: Number, defaults: true, keepCase: true };

const CONTRACT = fromJSON(
  {
    nested: {
      'mcc.fred.client': {
        nested: {
          ...CLIENT_MESSAGES,
          Client: {
            methods: {
              CreateKeygroup: unary('NewKeygroup', 'Empty'),
              AddReplica: unary('NewReplica', 'Empty'),
              RemoveReplica: unary('GoneReplica', 'Empty'),
              GetKeygroupInfo: unary('Keygroup', 'KeygroupInfo'),
              GetAllReplica: unary('Empty', 'Nodes'),
              AddTrigger: unary('NewTrigger', 'Empty'),
              RemoveTrigger: unary('GoneTrigger', 'Empty'),
              GetKeygroupTriggers: unary('Keygroup', 'Triggers'),
              AddUser: unary('UserRole', 'Empty'),
              Update: unary('NewItem', 'Written'),
              Read: unary('Place', 'Items'),
              Delete: unary('Place', 'Written'),
              Scan: unary('Range', 'Items'),
              Keys: unary('Range', 'KeyList'),
            },
          },
        },
      },
      'mcc.fred.trigger': {
        nested: {
          ...TRIGGER_MESSAGES,
          TriggerNode: {
            methods: {
              PutItemTrigger: unary('PutItem', 'Empty'),
              DeleteItemTrigger: unary('Place', 'Empty'),
            },
          },
        },
      },
    },
  },
  DECODING,
);

export const CLIENT_METHODS = CONTRACT['mcc.fred.client.Client'] as unknown as ClientMethods;
export const TRIGGER_METHODS = CONTRACT['mcc.fred.trigger.TriggerNode'] as unknown as TriggerMethods;

function message(...fields: readonly Field[]) {
  return {
    fields: Object.fromEntries(
      fields.map(([name, type, id, rule]) => [name, { type, id, ...(rule !== undefined && { rule }) }]),
    ),
  };
}

function unary(requestType: string, responseType: string) {
  return { requestType, responseType, comment: '' };
}
