import { rateLimitHeaders } from '../../access/limit-headers.ts';
import type { Dialect } from '../../dialect.ts';
import { leaveOutNothing } from '../../requests/left-out.ts';
import { completionRoutes } from './completion-routes.ts';
import { llamaCppErrors } from './error-envelope.ts';
import { slotsRoute } from './slots-route.ts';
import { templateRoute } from './template-route.ts';
import { tokenizeRoutes } from './tokenize-routes.ts';

/** llama.cpp's `/completion` with sessions, and what its clients ask beside it. */
export const llamaCpp: Dialect = {
  prefix: '',
  errors: llamaCppErrors,
  limitHeaders: rateLimitHeaders,
  routes(app, parts) {
    leaveOutNothing(app);
    completionRoutes(app, parts);
    tokenizeRoutes(app, parts);
    templateRoute(app, parts);
    slotsRoute(app, parts);
  },
};
