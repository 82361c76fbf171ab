import { Type } from 'typebox';

/** Field or query parameter of requests that mean one of the node's models. */
export const ModelChoice = {
  model: Type.Optional(
    Type.String({
      description:
        'Name of a model, as `/v1/models` lists them; left out or empty: the default one. A node with one model takes any name.',
    }),
  ),
};
