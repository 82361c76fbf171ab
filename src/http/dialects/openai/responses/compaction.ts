import { DiscedgeError } from '../../../../domain/errors.ts';
import type { TypedApp } from '../../../typed-app.ts';

/** OpenAI's compaction is not there, and says so: its path would else be taken for the id of a response. */
export function noCompaction(app: TypedApp): void {
  app.post('/responses/compact', {
    schema: { hide: true },
    async onRequest() {
      throw new DiscedgeError('route_not_found', 'there is no compaction here; send truncation: "auto"');
    },
    async handler() {},
  });
}
