import { anthropicLimitHeaders } from '../../access/limit-headers.ts';
import type { Dialect } from '../../dialect.ts';
import { leaveOutNothing } from '../../requests/left-out.ts';
import { countTokensRoute } from './count-tokens-route.ts';
import { anthropicErrors } from './error-envelope.ts';
import { messagesRoute } from './messages-route.ts';

/** Anthropic's Messages API on contexts that the node keeps. */
export const anthropic: Dialect = {
  prefix: '/v1/messages',
  errors: anthropicErrors,
  limitHeaders: anthropicLimitHeaders,
  routes(app, parts) {
    leaveOutNothing(app);
    // Where Anthropic's clients look for it.
    app.addHook('onRequest', async (request, reply) => {
      reply.header('request-id', request.id);
    });
    messagesRoute(app, parts);
    countTokensRoute(app, parts);
  },
};
