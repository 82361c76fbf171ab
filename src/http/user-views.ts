import { type Static, Type } from 'typebox';
import type { ErasureReceipt } from '../context-manager/users/erasure-receipt.ts';
import { SessionExportReply } from './session-schemas.ts';

/* What is told of a user as a whole, as it goes over the wire. */

const time = (description?: string) =>
  Type.String({ format: 'date-time', ...(description !== undefined && { description }) });

export const ErasureReceiptReply = Type.Object(
  {
    receipt_id: Type.String({ description: 'Names the erasure.' }),
    user_id: Type.String(),
    erased_at: time('By the clock of the node that was asked.'),
    complete: Type.Boolean({ description: 'No node is awaited.' }),
    nodes: Type.Array(
      Type.Object({
        node: Type.String(),
        state: Type.Unsafe<'confirmed' | 'awaited'>({ type: 'string', enum: ['confirmed', 'awaited'] }),
        confirmed_at: Type.Optional(
          time('From then on neither its store nor what carries its records has anything of what was erased.'),
        ),
        sessions: Type.Optional(Type.Integer({ description: 'Sessions and documents that it had.' })),
      }),
      { description: 'Those that were known when the user was erased, and any that have joined and confirmed since.' },
    ),
  },
  { title: 'ErasureReceipt' },
);

export const UserExportReply = Type.Object(
  {
    user_id: Type.String(),
    exported_at: time(),
    preferences: Type.Union([Type.String(), Type.Record(Type.String(), Type.String()), Type.Null()], {
      description: 'As `PUT /users/{user_id}/preferences` takes them; null: there are none.',
    }),
    ttl_seconds: Type.Union([Type.Integer(), Type.Null()], {
      description: 'As `PUT /users/{user_id}/lifetime` takes it; null: there is none.',
    }),
    sessions: Type.Array(SessionExportReply),
  },
  { title: 'UserExport' },
);

export function receiptView({
  receiptId,
  userId,
  erasedAtMs,
  nodes,
}: ErasureReceipt): Static<typeof ErasureReceiptReply> {
  return {
    receipt_id: receiptId,
    user_id: userId,
    erased_at: new Date(erasedAtMs).toISOString(),
    complete: nodes.every(({ confirmed }) => confirmed !== undefined),
    nodes: nodes.map(({ nodeId, confirmed }) => ({
      node: nodeId,
      ...(confirmed === undefined
        ? { state: 'awaited' as const }
        : {
            state: 'confirmed' as const,
            confirmed_at: new Date(confirmed.atMs).toISOString(),
            sessions: confirmed.sessions,
          }),
    })),
  };
}
