import { DiscedgeError } from '../../domain/errors.ts';
import type { LayerIds } from '../../llm-service/chat-template.ts';

/** Of a context window, for layers: the other half is the conversation's, and what is left of that when turns are left out. */
const WINDOW_SHARE = 0.5;

/** Throws `context_overflow` for layers that leave a conversation too little of the window. */
export function requireRoomForLayers({ pieces }: LayerIds, windowTokens: number): void {
  const tokens = pieces.reduce((sum, { length }) => sum + length, 0);
  const roomTokens = Math.floor(windowTokens * WINDOW_SHARE);
  if (tokens <= roomTokens) return;
  throw new DiscedgeError(
    'context_overflow',
    `the context layers have ${tokens} ids, and may have ${roomTokens}, half of the context window: shorten the deployment's prompt, the regional data or the user's preferences`,
    { overflow: { promptTokens: tokens, windowTokens } },
  );
}
