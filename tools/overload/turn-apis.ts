/** One API of turns: what a client sends for its next one, and how a reply ends that is streamed. */
export interface TurnApi {
  readonly name: string;
  readonly path: string;
  /** `said`: how many turns of the user's were answered before. */
  body(user: string, said: number): object;
  readonly end?: RegExp;
  /** Over a WebSocket, all turns on one. */
  readonly isSocket?: true;
}

/** Of every reply, at most. */
export const REPLY_IDS = 40;
const TURNS_A_SESSION = 20;

/** What a turn says, by which it is known again. */
export const said = (user: string, turn: number) => `${user} says ${turn}.`;
const say = (user: string, turn: number) => `${said(user, turn)} ${'All of it is said again. '.repeat(8)}`;
const chat = (user: string, turn: number) => ({ messages: [{ role: 'user', content: say(user, turn) }] });
const response = (user: string, turn: number) => ({ user, input: say(user, turn), max_output_tokens: REPLY_IDS });

export const completion = (user_id: string, turn: number) => ({
  ...{ user_id, session_id: `${user_id}-${Math.floor(turn / TURNS_A_SESSION)}`, turn: (turn % TURNS_A_SESSION) + 1 },
  ...{ prompt: say(user_id, turn), n_predict: REPLY_IDS },
});

/** All of them; the first is the plainest. */
export const TURN_APIS: readonly TurnApi[] = [
  { name: 'completion', path: '/completion', body: completion },
  {
    ...{ name: 'completion-stream', path: '/completion', end: /"stop":true/ },
    body: (user, turn) => ({ ...completion(user, turn), stream: true }),
  },
  {
    ...{ name: 'chat', path: '/v1/chat/completions', end: /\[DONE\]/ },
    body: (user, turn) => ({ user, ...chat(user, turn), max_tokens: REPLY_IDS, stream: true }),
  },
  { name: 'responses', path: '/v1/responses', body: response },
  {
    ...{ name: 'messages', path: '/v1/messages', end: /message_stop/ },
    body: (user, turn) => ({
      ...{ metadata: { user_id: user }, ...chat(user, turn), max_tokens: REPLY_IDS, stream: true },
    }),
  },
  {
    ...{ name: 'responses-socket', path: '/v1/responses', isSocket: true },
    body: (user, turn) => ({ type: 'response.create', ...response(user, turn) }),
  },
];
