import { type Static, Type } from 'typebox';
import type { ServedModel } from '../context-manager/model-directory.ts';
import { choice } from './requests/request-fields.ts';

const count = () => Type.Integer({ minimum: 0 });

/** A served model as OpenAI's and llama.cpp's lists have it. */
export const ModelEntry = Type.Object(
  {
    id: Type.String(),
    object: choice(['model']),
    created: Type.Integer(),
    owned_by: Type.String(),
    meta: Type.Object({ n_vocab: count(), n_ctx: count(), keygroup: Type.String() }),
  },
  { title: 'Model' },
);

export const ModelListReply = Type.Object(
  { object: choice(['list']), data: Type.Array(ModelEntry) },
  { title: 'ModelList' },
);

export function modelEntry({ name, llm, keygroup }: ServedModel): Static<typeof ModelEntry> {
  const { vocabularySize, contextTokens } = llm.description;
  const meta = { n_vocab: vocabularySize, n_ctx: contextTokens, keygroup };
  return { id: name, object: 'model', created: 0, owned_by: 'discedge', meta };
}

/** The default one first. */
export function modelList(models: readonly ServedModel[]): Static<typeof ModelListReply> {
  return { object: 'list', data: models.map(modelEntry) };
}
