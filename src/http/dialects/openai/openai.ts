import { rateLimitHeaders } from '../../access/limit-headers.ts';
import type { Dialect } from '../../dialect.ts';
import { leaveOutNothing } from '../../requests/left-out.ts';
import { chatRoutes } from './chat/chat-routes.ts';
import { storedCompletionRoutes } from './chat/stored-completion-routes.ts';
import { StoredCompletions } from './chat/stored-completions.ts';
import { completionRoutes } from './completions/completion-routes.ts';
import { conversationsRoutes } from './conversations/conversations-routes.ts';
import { embeddingsRoute } from './embeddings-route.ts';
import { openAiErrors } from './error-envelope.ts';
import { modelsRoutes } from './models-routes.ts';
import { refuseUnheard } from './refuse-unheard.ts';
import { compactRoute } from './responses/compact-route.ts';
import { knownResponseRoutes } from './responses/known-response-routes.ts';
import { Responses } from './responses/responses.ts';
import { responsesRoutes } from './responses/responses-routes.ts';
import { responsesSocket } from './responses/responses-socket.ts';

/** OpenAI's API on contexts that the node keeps. */
export const openAi: Dialect = {
  prefix: '/v1',
  errors: openAiErrors,
  limitHeaders: rateLimitHeaders,
  routes(app, parts) {
    leaveOutNothing(app);
    refuseUnheard(app);
    modelsRoutes(app, parts);
    completionRoutes(app, parts);
    const responses = new Responses(parts);
    chatRoutes(app, parts, responses.ids);
    storedCompletionRoutes(app, new StoredCompletions(parts, responses), responses.ids);
    responsesRoutes(app, parts, responses);
    knownResponseRoutes(app, parts, responses);
    compactRoute(app, parts, responses);
    responsesSocket(app, parts, responses);
    conversationsRoutes(app, parts, responses);
    embeddingsRoute(app, parts);
  },
};
