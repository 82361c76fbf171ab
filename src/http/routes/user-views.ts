import { type Static, Type } from 'typebox';
import { AWAITED_REASONS, type ErasureReceipt } from '../../context-manager/users/erasure-receipt.ts';
import { choice, userId } from '../requests/request-fields.ts';
import { PreferencesValue } from './preferences-value.ts';
import { ImportBody } from './session-import.ts';
import { SessionExportReply } from './session-schemas.ts';

/* What is told of a user as a whole, as it goes over the wire. */

export const UserPath = Type.Object({ user_id: userId() });

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
          time(
            'From then on neither its store, nor what carries its records, nor its inference engine as far as it can be told has anything of what was erased.',
          ),
        ),
        reason: Type.Optional(
          choice(AWAITED_REASONS, {
            description:
              'What an awaited node has said that it waits for. `kv_state`: its inference engine does not say that the KV state of the sessions is gone.',
          }),
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

export const LifetimeSeconds = Type.Integer({
  minimum: 1,
  description: 'How long a session of the user may be idle.',
});

/** What an export gives, whole or with some of its sessions. */
export const UserImportBody = Type.Object(
  {
    preferences: Type.Optional(Type.Union([PreferencesValue, Type.Null()])),
    ttl_seconds: Type.Optional(Type.Union([LifetimeSeconds, Type.Null()])),
    sessions: Type.Array(ImportBody),
  },
  { title: 'UserImportRequest', additionalProperties: true },
);

const state = () =>
  choice(['imported', 'already_here', 'refused'], {
    description: '`already_here`: all of it was here before, as it was exported. `refused`: `error` says why.',
  });
const refusal = Type.Optional(Type.Object({ code: Type.String(), message: Type.String() }));
const restored = (description: string) =>
  Type.Optional(Type.Object({ state: state(), error: refusal }, { description }));
const count = () => Type.Integer({ minimum: 0, description: 'Sessions.' });

export const UserImportReply = Type.Object(
  {
    user_id: Type.String(),
    node: Type.String(),
    preferences: restored('Absent where none came.'),
    ttl_seconds: restored('Absent where none came.'),
    imported: count(),
    already_here: count(),
    refused: count(),
    sessions: Type.Array(
      Type.Object({
        session_id: Type.Optional(Type.String({ description: 'Left out where none could be read.' })),
        state: state(),
        error: refusal,
        model: Type.Optional(Type.String()),
        turns: Type.Optional(Type.Integer({ description: 'That are here, of all branches.' })),
        turn: Type.Optional(Type.Integer({ description: 'The last one of the main line.' })),
        context_id: Type.Optional(Type.String({ description: 'Of that one: what the next turn goes on from.' })),
        expires_at: Type.Optional(time()),
      }),
      { description: 'In the order in which they came.' },
    ),
  },
  { title: 'UserImport' },
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
    nodes: nodes.map(({ nodeId, confirmed, reason }) => ({
      node: nodeId,
      ...(confirmed === undefined
        ? { state: 'awaited' as const, ...(reason !== undefined && { reason }) }
        : {
            state: 'confirmed' as const,
            confirmed_at: new Date(confirmed.atMs).toISOString(),
            sessions: confirmed.sessions,
          }),
    })),
  };
}
