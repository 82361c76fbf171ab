import { setMaxListeners } from 'node:events';

/** What ends much work at once: many may listen, where a few are usually a leak. */
export function endOfMany(): AbortController {
  const end = new AbortController();
  setMaxListeners(0, end.signal);
  return end;
}
