import { isDeepStrictEqual } from 'node:util';
import { type Static, Type } from 'typebox';
import type { ModelDirectory, ServedModel } from '../../context-manager/model-directory.ts';
import type { Imported } from '../../context-manager/sessions/imports.ts';
import type { ReadTurn } from '../../context-manager/sessions/sessions.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { ContextId } from '../../domain/identifiers.ts';
import { CorruptRecord, openRecord } from '../../domain/record/record-codec.ts';
import { NewerRecord } from '../../domain/record/record-version.ts';
import { summaryPlaceOf } from '../../domain/record/summary.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { invalid } from '../requests/parameters.ts';
import { sessionId } from '../requests/request-fields.ts';
import { readBySchema } from '../requests/schema-check.ts';
import { idsTurnView } from './session-view.ts';

const ExportedTurn = Type.Object(
  { context_id: Type.String(), record: Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$' }) },
  { additionalProperties: true },
);

/** A session as it was exported; what of it is not named here says again what its records say, and is compared. */
export const ImportBody = Type.Object(
  {
    keygroup: Type.String({ description: 'Of its model: ids of another tokenizer say something else.' }),
    session_id: sessionId(),
    turns: Type.Array(ExportedTurn, { minItems: 1 }),
    branches: Type.Optional(
      Type.Array(Type.Object({ turns: Type.Array(ExportedTurn) }, { additionalProperties: true })),
    ),
  },
  { title: 'SessionImport', additionalProperties: true },
);
export type ImportBody = Static<typeof ImportBody>;

/** What is wrong is looked for in so many of its turns, and of its branches. */
const EXPLAINED_MAX = 100;
const readBody = readBySchema(ImportBody, beginningOf);

/** One of many that come in one body. Throws `invalid_request`, which names `param`, without looking through all that is wrong. */
export function readImport(value: unknown, param: string): ImportBody {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw invalid(param, `${param} must be object`);
  return readBody(value, param);
}

function beginningOf(session: unknown): unknown {
  const { keygroup, session_id, turns, branches = [] } = session as Readonly<Record<string, unknown>>;
  const first = (list: unknown) => (Array.isArray(list) ? list.slice(0, EXPLAINED_MAX) : list);
  const ofBranch = (branch: unknown) => ({ turns: first(Object(branch).turns) });
  const firstBranches = first(branches);
  return {
    ...{ keygroup, session_id, turns: first(turns) },
    branches: Array.isArray(firstBranches) ? firstBranches.map(ofBranch) : firstBranches,
  };
}

/** What a reader knows of a turn, and would be told wrong if it were changed. */
const COMPARED = ['system', 'user', 'messages', 'reply', 'prompt_ids', 'reply_ids', 'exact_ids', 'turn'] as const;

export interface ImportedTurns {
  readonly turns: readonly Turn[];
  /** Which part of a turn is not what its record says, as it is read here. */
  faultOf(read: ReadTurn): string | undefined;
}

/** Throws `invalid_request` for what is no record, of another session or model, or without the turns before it. */
export function importedTurns({ keygroup, turns, branches = [] }: ImportBody): ImportedTurns {
  const said = new Map<ContextId, Static<typeof ExportedTurn>>();
  const opened: Turn[] = [];
  const turnNumbers = new Map<ContextId, number>();
  const modes = new Set<string>();
  let first: Turn | undefined;
  for (const turn of [...turns, ...branches.flatMap((branch) => branch.turns)]) {
    const one = opened[opened.push(turnOf(turn)) - 1] as Turn;
    first ??= one;
    const { record, hash } = one;
    if (hash !== turn.context_id) throw invalid('turns', `turn ${record.turn} has the context_id of another`);
    if (record.keygroup !== keygroup) throw invalid('keygroup', `turn ${record.turn} is of another model`);
    if (record.userId !== first.record.userId || record.sessionId !== first.record.sessionId)
      throw invalid('turns', `turn ${record.turn} is of another session`);
    if (record.parent !== undefined && !said.has(record.parent))
      throw invalid('turns', `turn ${record.turn} stands before the turn that it goes on from, or without it`);
    if (summaryPlaceOf(record) === undefined) {
      // A gap is where a turn is missing: its record would wait for one that never comes.
      if (record.turn !== ((record.parent && turnNumbers.get(record.parent)) ?? 0) + 1)
        throw invalid('turns', `turn ${record.turn} does not follow the turn that it goes on from`);
      if (record.payload.mode !== 'items') modes.add(record.payload.mode);
      if (modes.size > 1) throw invalid('turns', `turn ${record.turn} is in another context mode than those before`);
      turnNumbers.set(hash, record.turn);
    }
    if (said.has(hash)) throw invalid('turns', `turn ${record.turn} is there twice`);
    said.set(hash, turn);
  }
  return {
    turns: opened,
    faultOf(read) {
      const there: Readonly<Record<string, unknown>> = idsTurnView(read);
      const told: Readonly<Record<string, unknown>> = said.get(read.turn.hash) ?? {};
      return COMPARED.find((name) => told[name] !== undefined && !isDeepStrictEqual(told[name], there[name]));
    },
  };
}

function turnOf({ record: text }: Static<typeof ExportedTurn>): Turn {
  try {
    const { record, hash } = openRecord(Buffer.from(text, 'base64'));
    if (record.kind === 'turn') return { record, hash };
  } catch (error) {
    if (!(error instanceof CorruptRecord || error instanceof NewerRecord)) throw error;
    throw invalid('turns', `a record is not one that this node reads: ${error.message}`);
  }
  throw invalid('turns', 'a record is no turn');
}

/** Throws `model_not_found`. */
export function servedModelOf(models: ModelDirectory, keygroup: string): ServedModel {
  const found = models.all.find((model) => model.keygroup === keygroup);
  if (found !== undefined) return found;
  const message = 'this node serves no model of that name, tokenizer and chat template together';
  throw new DiscedgeError('model_not_found', message, { param: 'keygroup' });
}

export function importView({ key, mode, turns, tip, expiresAtMs, replayed }: Imported, node: string) {
  return {
    session_id: key.sessionId,
    user_id: key.userId,
    ...(mode !== undefined && { mode }),
    turns,
    turn: tip.record.turn,
    context_id: tip.hash,
    expires_at: new Date(expiresAtMs).toISOString(),
    node,
    replayed,
  };
}
