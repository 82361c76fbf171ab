import type { Dialect } from '../../dialect.ts';
import { leaveOutNothing } from '../../left-out.ts';
import { completionRoutes } from './completion-routes.ts';
import { llamaCppErrors } from './error-envelope.ts';
import { tokenizeRoutes } from './tokenize-routes.ts';

/** llama.cpp's `/completion`, `/tokenize` and `/detokenize`, with sessions. */
export const llamaCpp: Dialect = {
  prefix: '',
  errors: llamaCppErrors,
  routes(app, parts) {
    leaveOutNothing(app);
    completionRoutes(app, parts);
    tokenizeRoutes(app, parts);
  },
};
