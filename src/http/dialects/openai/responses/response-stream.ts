import type { TurnStream } from '../../../serve-turn.ts';
import type { ItemIds } from './item-views.ts';
import { ResponseEvents } from './response-events.ts';
import { type ResponseState, responseView } from './response-view.ts';
import { failedState } from './running-responses.ts';

/** A response as server-sent events; `begun` says what it is once the first of it is there. */
export function responseStream(response: {
  readonly begun: () => { readonly state: ResponseState; readonly ids: ItemIds };
  readonly summarized: () => boolean;
  /** Events up to that sequence number have been seen. */
  readonly after?: number | undefined;
}): TurnStream<ResponseState> {
  let events: ResponseEvents | undefined;
  const begin = () => {
    if (events !== undefined) return { events, first: [] };
    const { state, ids } = response.begun();
    events = new ResponseEvents({ ids, summarized: response.summarized(), after: response.after });
    return { events, first: events.begin(responseView(state)) };
  };
  return {
    part({ parts = [] }) {
      if (parts.length === 0) return [];
      const { events, first } = begin();
      return [...first, ...parts.flatMap((delta) => events.delta(delta))];
    },
    end(state) {
      const { events, first } = begin();
      return [...first, ...events.end(responseView(state))];
    },
    error(error) {
      const { events, first } = begin();
      return [...first, ...events.end(responseView(failedState(response.begun().state, error)))];
    },
  };
}
