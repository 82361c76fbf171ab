import { fromJSON } from '@grpc/proto-loader';
import type { Empty, FredItem, FredVersion, ItemPlace, Unary } from '../../src/context-store/fred/wire/contract.ts';

export interface PeerItem extends ItemPlace {
  readonly value: string;
  readonly isTombstone: boolean;
  readonly version: FredVersion;
}

/** `mcc.fred.peering.Node`, as far as keygroups that can be rewritten need it. */
export type PeeringMethods = {
  readonly CreateKeygroup: Unary<{ readonly keygroup: string; readonly expirySeconds: number }, Empty>;
  readonly DeleteKeygroup: Unary<{ readonly keygroup: string }, Empty>;
  readonly PutItem: Unary<PeerItem, Empty>;
  /** All of them in one message, without saying which are tombstones. */
  readonly GetAllItems: Unary<{ readonly keygroup: string }, { readonly items: readonly FredItem[] }>;
};

const KEYGROUP = { keygroup: { type: 'string', id: 1 } };
const ticks = (id: number) => ({ keyType: 'string', type: 'uint64', id });
const unary = (requestType: string, responseType: string) => ({ requestType, responseType, comment: '' });

const CONTRACT = fromJSON(
  {
    nested: {
      'mcc.fred.peering': {
        nested: {
          Empty: { fields: {} },
          Keygroup: { fields: KEYGROUP },
          NewKeygroup: { fields: { ...KEYGROUP, expirySeconds: { type: 'int64', id: 2 } } },
          NewItem: {
            fields: {
              ...KEYGROUP,
              id: { type: 'string', id: 2 },
              value: { type: 'string', id: 3 },
              isTombstone: { type: 'bool', id: 4 },
              version: ticks(5),
            },
          },
          Item: { fields: { id: { type: 'string', id: 1 }, value: { type: 'string', id: 2 }, version: ticks(3) } },
          Items: { fields: { items: { rule: 'repeated', type: 'Item', id: 1 } } },
          Node: {
            methods: {
              CreateKeygroup: unary('NewKeygroup', 'Empty'),
              DeleteKeygroup: unary('Keygroup', 'Empty'),
              PutItem: unary('NewItem', 'Empty'),
              GetAllItems: unary('Keygroup', 'Items'),
            },
          },
        },
      },
    },
  },
  { longs: Number, defaults: true, keepCase: true },
);

export const PEERING_METHODS = CONTRACT['mcc.fred.peering.Node'] as unknown as PeeringMethods;
