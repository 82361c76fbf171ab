import { Type } from 'typebox';
import { FLASH_ATTENTION } from '../../domain/flash-attention.ts';
import { choice, integer, onOff, path, size } from './setting-schema.ts';
import { WARMING_SETTINGS } from './warming-settings.ts';

const GIB = 2 ** 30;

/** What an LLM Service is run with, whatever its models; part of the settings' one schema. */
export const ENGINE_SETTINGS = {
  threads: Type.Optional(
    integer({
      group: 'LLM Service',
      minimum: 1,
      maximum: 256,
      unit: 'threads',
      defaultText: 'cores − 1, at least 1',
      description:
        'Compute threads of the embedded LLM Service. One core is left to the node itself: compute threads that fight it for the last core slow every token. At most 256, because llama.cpp gains nothing beyond the cores of one machine.',
    }),
  ),
  prefillChunkTokens: integer({
    group: 'LLM Service',
    minimum: 16,
    maximum: 4096,
    default: 256,
    unit: 'tokens',
    description:
      'Tokens that the embedded LLM Service evaluates in one piece. A turn can be cancelled, and others get their share, only between pieces: above 4,096 a node seems to hang, below 16 the pieces cost more than they contain.',
  }),
  gpu: onOff({
    group: 'LLM Service',
    default: false,
    description:
      'Let the embedded LLM Service use a GPU. Off by default, so that a node starts alike on every machine.',
  }),
  flashAttention: choice(FLASH_ATTENTION, {
    group: 'LLM Service',
    default: 'auto',
    description:
      'Flash attention in the embedded LLM Service. `auto`: on a GPU. On a CPU it takes less memory and evaluates long prompts faster, but what a turn adds to a long context, and each token of a reply, more slowly.',
  }),
  kvBudgetBytes: Type.Optional(
    size({
      group: 'LLM Service',
      minimum: 0,
      maximum: 1024 * GIB,
      defaultText: 'an eighth of what is free in `kv-dir` (on a memory disk: of free memory), at most 4 GiB',
      description:
        'Room for KV state of sessions that have lost their sequence in the embedded LLM Service: files, read when a session comes back, where that is faster than evaluating its context again. Several models get equal parts. 0 keeps none; more than 1 TiB is no cache.',
    }),
  ),
  kvDir: Type.Optional(
    path({
      group: 'LLM Service',
      placeholder: 'DIR',
      defaultText: '`kv` in `data-dir`; with a store that keeps no files none, and nothing is kept',
      description:
        'Where that state is kept; each node has a folder of its own in it. It may be a memory disk, such as `/dev/shm`. The files hold what sessions say, in no readable form, and are removed with their sessions. With encryption on they are encrypted, by way of a memory disk (`/dev/shm`); where there is none, nothing is kept.',
    }),
  ),
  shareKv: onOff({
    group: 'LLM Service',
    default: false,
    description:
      "Let a turn go on from the KV state of another user's session, in the embedded LLM Service or a vLLM, where their ids are equal, as with one long system message for all. Off by default: how fast a reply comes would tell what others have said.",
  }),
  ...WARMING_SETTINGS,
  modelCacheDir: Type.Optional(
    path({
      group: 'LLM Service',
      placeholder: 'DIR',
      defaultText: "`discedge/models` in the user's cache folder",
      description: 'Where downloaded models are kept.',
    }),
  ),
  llmStartWaitMs: integer({
    group: 'LLM Service',
    minimum: 0,
    maximum: 3_600_000,
    default: 0,
    unit: 'milliseconds',
    description:
      'How long the start of the node waits for a server that is not there yet or still loads its model, as when both start with the machine; the log says so (`llm.start_waits`). 0: the start fails at once. Until it is over the node does not listen: which sessions are whose model needs the server. At most an hour.',
  }),
  llmConnectTimeoutMs: integer({
    group: 'LLM Service',
    minimum: 100,
    maximum: 60_000,
    default: 5_000,
    unit: 'milliseconds',
    description:
      'How long a connection to the server may take. From 100, below which a busy network looks like an outage, to 60,000, after which clients have gone.',
  }),
  llmIdleTimeoutMs: integer({
    group: 'LLM Service',
    minimum: 1_000,
    maximum: 3_600_000,
    default: 120_000,
    unit: 'milliseconds',
    description:
      'How long the LLM Service, embedded or not, may produce nothing in the middle of a turn; the turn then ends with `llm_timeout`. Must exceed the evaluation of a full context on this machine, which takes 17 s for 4,096 tokens on two slow cores; from 1,000 to 3,600,000 (an hour), beyond which a turn would never be given up.',
  }),
};
