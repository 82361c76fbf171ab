import { Type } from 'typebox';
import { CONTEXT_MODES } from '../../domain/record/turn-record.ts';
import { SERVER_PROGRAMS } from '../engine-kinds.ts';
import { choice, integer, path, text, texts } from './setting-schema.ts';

/** What is one model's; part of the settings' one schema, and what an entry of `models` may say. */
export const MODEL_SETTINGS = {
  model: texts({
    group: 'LLM Service',
    modelKey: 'model',
    placeholder: '[NAME=]MODEL',
    default: ['demo'],
    defaultText: '`demo`',
    description:
      'What the embedded LLM Service runs: `demo` (the small model that comes along), the path of a GGUF file, or `hf:ORG/REPO:FILE` to download one from Hugging Face; given several times, the node serves several models, the first being the default one and `NAME` what a model is called. Write `./` before a path that has a `=` itself.',
  }),
  modelName: Type.Optional(
    text({
      group: 'LLM Service',
      modelKey: 'name',
      placeholder: 'NAME',
      defaultText: "the model file's name",
      description:
        'Name of the model in replies and in its identity: only nodes with equal names, tokenizers and templates share contexts. The default leaves the quantization out of the file name, so that nodes may differ in that. Of several models each has its own: `NAME=MODEL`. At most 256 bytes, as it is in every greeting of nodes, and no control characters.',
    }),
  ),
  llm: Type.Optional(
    texts({
      group: 'LLM Service',
      modelKey: 'llm',
      placeholder: '[NAME=]URL',
      defaultText: 'the embedded one',
      description:
        'Use another LLM Service in place of the embedded one: `http://HOST:PORT` of a llama-server or a vLLM, or `scripted` (no model; deterministic replies for tests); given several times, the node serves several models, the first being the default one and `NAME` what a model is called. Excludes `model`; `models` in the configuration file takes both kinds.',
    }),
  ),
  llmKind: choice(SERVER_PROGRAMS, {
    group: 'LLM Service',
    modelKey: 'llm-kind',
    default: 'auto',
    description:
      'Which program the server of `llm` is: `llama-server`, `vllm`, or `auto`, as what it answers tells. What each offers and needs is in docs/llm-services.md.',
  }),
  llmApiKey: Type.Optional(
    text({
      group: 'LLM Service',
      modelKey: 'llm-api-key-file',
      secret: true,
      defaultText: 'none',
      description:
        'API key of that server. Never printed, and never on the command line, which every user of the machine can read: the flag takes the name of a file that holds it. Of several servers each has its own, in `models`.',
    }),
  ),
  chatTemplateFile: Type.Optional(
    path({
      group: 'LLM Service',
      modelKey: 'chat-template-file',
      placeholder: 'FILE',
      defaultText: "the model's own template",
      description:
        "File with a chat template to use in place of the model's own, as llama-server's option of that name: Jinja, the `tokenizer_config.json` of a model, or a GGUF with the template in it. It is part of the model's identity: nodes with other templates share no contexts.",
    }),
  ),
  systemPromptFile: Type.Optional(
    path({
      group: 'Contexts',
      modelKey: 'system-prompt-file',
      placeholder: 'FILE',
      defaultText: 'none',
      description:
        "File with what the model is told before every conversation that the node keeps, whoever's it is: the first of the context layers (docs/context-layers.md), read when the node starts. At most 64 KiB, and with `regional-data` and a user's preferences half of the context window. It is in no record; nodes of one deployment should have the same.",
    }),
  ),
  llmTokenizer: text({
    group: 'LLM Service',
    modelKey: 'llm-tokenizer',
    placeholder: 'WHERE',
    default: 'server',
    description:
      "Where texts become ids in front of a server: `server`, one request for each text; `told`, here, from the model's file that the server names, where it can be read here; or the path of a GGUF file with that model's vocabulary, or in front of a vLLM of its `tokenizer.json`. A GGUF file needs node-llama-cpp, takes a process of 150 MB of memory and more, and spares a turn a request: docs/operations.md. Used only if it tokenizes as the server does; else a llama-server is asked, as the start-up line and `/props` say, and in front of a vLLM the node does not start.",
  }),
  contextTokens: Type.Optional(
    integer({
      group: 'LLM Service',
      modelKey: 'context-tokens',
      minimum: 64,
      maximum: 1_048_576,
      unit: 'tokens',
      defaultText: "the model's, or shorter where memory is",
      description:
        'Length of the context window. The default is what the model was trained with, halved until it fits into three quarters of the available memory (docs/memory.md). From 64, below which not even a short exchange fits, to 1,048,576, the longest that current models are trained for.',
    }),
  ),
  parallel: Type.Optional(
    integer({
      group: 'LLM Service',
      modelKey: 'parallel',
      minimum: 1,
      maximum: 64,
      unit: 'turns',
      defaultText: '4, or fewer where memory is short',
      description:
        'Turns that the embedded LLM Service works on at once, or that are at a vLLM at once (there 64 by default); further ones wait. In the embedded one each takes memory for a whole context window, hence at most 64. What the default comes to is in docs/memory.md.',
    }),
  ),
};

/** Stands among the settings of contexts. */
export const MODE_SETTING = choice(CONTEXT_MODES, {
  group: 'Contexts',
  modelKey: 'mode',
  default: 'tokenized',
  description:
    'Context mode of requests that name none: `tokenized` keeps the exact token ids, `raw` keeps messages, `client-side` keeps nothing.',
});
