import { Type } from 'typebox';
import { OVERFLOW_POLICIES } from '../../domain/session/context-window.ts';
import { CONSISTENCY_SETTINGS } from './consistency-settings.ts';
import { MODE_SETTING } from './model-settings.ts';
import { choice, integer, onOff, path, size, text } from './setting-schema.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const DAY_SECONDS = 86_400;

/** How contexts are kept, what becomes of one that is too long, and how long sessions live; part of the settings' one schema. */
export const CONTEXT_SETTINGS = {
  mode: MODE_SETTING,
  regionalData: Type.Optional(
    path({
      group: 'Contexts',
      placeholder: 'PATH',
      defaultText: 'none',
      description:
        'File, or folder of `*.md` and `*.txt` files, taken by name, with what this node tells its models of its region before every conversation that it keeps (docs/context-layers.md). Read again within a second of a change; at most 64 files and 64 KiB. It is in no record and goes to no other node.',
    }),
  ),
  ...CONSISTENCY_SETTINGS,
  overflow: choice(OVERFLOW_POLICIES, {
    group: 'Contexts',
    default: 'error',
    description:
      'What happens to a context longer than the window, where the request does not say: `error` refuses the turn, `drop-oldest` leaves out whole turns and says so, `summarize` has the model sum them up and says so, `retrieve` leaves them out, brings back those that the new message is about, and says which.',
  }),
  embeddingsUrl: Type.Optional(
    text({
      group: 'Contexts',
      placeholder: 'URL',
      defaultText: 'none: search is by words',
      description:
        'Under `retrieve`, turns are found by what they are about as well, with the vectors of this llama-server: one started with `--embeddings`, preferably with an embedding model, and not the one of `llm`, where an embedding takes a slot and what it held of a session. It is sent what the user says and the beginnings of turns that are left out, over `http` in the clear, so it belongs on this machine or one that is trusted as much; no key is sent. Where it fails or takes longer than a second, turns are found by words.',
    }),
  ),
  keepConversations: onOff({
    group: 'Contexts',
    default: true,
    description:
      "Keep conversations whose clients send them whole, as OpenAI's chat completions do, where the request's `store` does not say: the next turn then goes on from exact ids, at every node. Off: nothing of them is written.",
  }),
  ttlSeconds: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 315_360_000,
    default: DAY_SECONDS,
    unit: 'seconds',
    description:
      'How long a session lives after its latest turn, where the request does not say: as long as it may be idle. Nodes that share their sessions let them live ten minutes longer, as clocks differ. At least 1; at most `ttl-seconds-max`.',
  }),
  ttlSecondsMax: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 315_360_000,
    default: 30 * DAY_SECONDS,
    unit: 'seconds',
    description:
      'The longest life a request may ask for, so that a client cannot keep disk space for ever. At most 315,360,000 (ten years), since every node remembers a deletion as long.',
  }),
  sessionAgeSecondsMax: Type.Optional(
    integer({
      group: 'Contexts',
      minimum: 1,
      maximum: 315_360_000,
      unit: 'seconds',
      defaultText: 'none: one that is used lives on',
      description:
        'How long a session lives after it was opened, however often it is used. The same at all nodes that share sessions, or those without it let them live. A fork is a session of its own.',
    }),
  ),
  replyTokensDefault: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 1_048_576,
    default: 512,
    unit: 'tokens',
    description: 'Longest reply of a request without `n_predict`. At least 1; at most `reply-tokens-max`.',
  }),
  replyTokensMax: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 1_048_576,
    default: 8_192,
    unit: 'tokens',
    description:
      'Longest reply that a request can get, whatever its `n_predict`: bounds how long one turn can occupy the LLM Service. At most 1,048,576, the longest context window there is.',
  }),
  contextCacheBytes: size({
    group: 'Contexts',
    minimum: 0,
    maximum: 64 * GIB,
    default: 256 * MIB,
    description:
      'Memory for contexts in use, kept so that a turn does not read its whole session again. 0 keeps none; more than 64 GiB exceeds what the replica can hold hot.',
  }),
};
