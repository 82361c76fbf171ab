/** One conversation as its client has it: what it sends next, and what it learns from each answer. */
export interface Talk {
  next(): string;
  answered(reply: string): void;
}

const REPLY_TOKENS = 128;
const said = (talk: number, turn: number) =>
  `In ${talk}, write function ${turn} for a proportional (P) controller.`.padEnd(65);

let talks = 0;

/** The same conversation through each API that a client may have it by. */
export const CONVERSATIONS: Readonly<Record<string, { readonly path: string; readonly talk: () => Talk }>> = {
  completion: {
    path: '/completion',
    talk() {
      const talk = ++talks;
      let turn = 0;
      const session_id = `talk-${talk}`;
      return {
        next: () =>
          JSON.stringify({ ...{ session_id, turn: ++turn, n_predict: REPLY_TOKENS }, prompt: said(talk, turn) }),
        answered() {},
      };
    },
  },
  chat: {
    path: '/v1/chat/completions',
    talk() {
      const talk = ++talks;
      let turn = 0;
      const messages: object[] = [];
      return {
        next() {
          messages.push({ role: 'user', content: said(talk, ++turn) });
          return JSON.stringify({ model: 'any', messages, max_tokens: REPLY_TOKENS });
        },
        answered(reply) {
          const { content } = (JSON.parse(reply) as Chat).choices[0].message;
          messages.push({ role: 'assistant', content });
        },
      };
    },
  },
  responses: {
    path: '/v1/responses',
    talk() {
      const talk = ++talks;
      let turn = 0;
      let id: string | undefined;
      return {
        next: () =>
          JSON.stringify({
            ...{ model: 'any', input: said(talk, ++turn), max_output_tokens: REPLY_TOKENS },
            ...(id !== undefined && { previous_response_id: id }),
          }),
        answered(reply) {
          id = (JSON.parse(reply) as { id: string }).id;
        },
      };
    },
  },
};

interface Chat {
  readonly choices: readonly [{ readonly message: { readonly content: string } }];
}
