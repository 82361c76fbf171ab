import { type Static, Type } from 'typebox';
import type { ToldLayers as Told } from '../context-manager/layers/told-layers.ts';
import { LAYER_NAMES } from '../domain/record/layer-stamps.ts';
import { OPTIONAL_LAYERS, type OptionalLayer } from '../domain/record/layers-left-out.ts';
import { choice } from './requests/request-fields.ts';

const oneOf = (description: string) => Type.Optional(Type.Boolean({ description }));

/** What a request may say of context layers. */
export const LayersAsked = Type.Union(
  [
    Type.Literal(false),
    Type.Object(
      {
        region: oneOf("False: without the node's regional data."),
        preferences: oneOf("False: without the user's preferences."),
      },
      { additionalProperties: false },
    ),
  ],
  {
    description:
      "Which context layers this turn's prompt does without; `false`: without both. What the operator says to everybody stays. Nothing where the node has no such layers.",
  },
);

export function layersLeftOut(asked: Static<typeof LayersAsked> | undefined): readonly OptionalLayer[] {
  if (asked === undefined) return [];
  return OPTIONAL_LAYERS.filter((name) => asked === false || asked[name] === false);
}

/** What a reply tells of them. */
export const LayersTold = Type.Object(
  {
    parts: Type.Array(
      Type.Object({
        name: choice(LAYER_NAMES),
        tokens: Type.Integer({ minimum: 0, description: 'Ids of its text; 0: it stood there in the turn before.' }),
        changed: Type.Boolean({ description: 'Whether it was another one in the turn before, or none.' }),
      }),
    ),
    tokens_rewritten: Type.Integer({
      minimum: 0,
      description:
        'Ids of the context so far that a change of layers has evaluated again; at most so many where the turn before was answered at another node.',
    }),
  },
  {
    title: 'Layers',
    description:
      'What the node has put before the conversation, never what it says. Absent from a replay, and where there is nothing and was nothing.',
  },
);

export function layersTold(layers: Told | undefined): Static<typeof LayersTold> | undefined {
  return layers && { parts: layers.parts.map((part) => ({ ...part })), tokens_rewritten: layers.rewrittenTokens };
}
