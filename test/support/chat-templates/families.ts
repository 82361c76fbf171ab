import { readdirSync, readFileSync } from 'node:fs';

/**
 * A chat template with the traits of a well-known model family, written for these tests: one file a family. Its first
 * line is a comment that says what it stands for and in one sentence how it treats a conversation.
 */
export interface TemplateFamily {
  /** Of the file, without its ending. */
  readonly name: string;
  /** The models that behave so. */
  readonly like: string;
  readonly trait: string;
  readonly source: string;
  readonly bosText: string;
  readonly eosText: string;
  /** The control tokens of the family's vocabulary, `bosText` and `eosText` among them. */
  readonly controls: readonly string[];
  /** The tokens that a reply can end with; empty where only the next role ends it. */
  readonly ends: readonly string[];
}

type Tokens = Pick<TemplateFamily, 'bosText' | 'eosText' | 'controls' | 'ends'>;

function tokens(bosText: string, eosText: string, ends: string, others: string): Tokens {
  const list = (text: string) => text.split(' ').filter((token) => token !== '');
  const controls = new Set([bosText, eosText, ...list(ends), ...list(others)].filter((token) => token !== ''));
  return { bosText, eosText, controls: [...controls], ends: list(ends) };
}

const CHATML = '<|im_start|> <|im_end|>';
const LLAMA_3 = '<|start_header_id|> <|end_header_id|>';

const TOKENS: Readonly<Record<string, Tokens>> = {
  'command-r7b': tokens(
    '<BOS_TOKEN>',
    '<|END_OF_TURN_TOKEN|>',
    '<|END_OF_TURN_TOKEN|>',
    `<|START_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|START_THINKING|> <|END_THINKING|>
<|START_RESPONSE|> <|END_RESPONSE|> <|START_ACTION|> <|END_ACTION|> <|START_TOOL_RESULT|> <|END_TOOL_RESULT|>`.replace(
      '\n',
      ' ',
    ),
  ),
  'deepseek-r1-distill': tokens(
    '<|bos|>',
    '<|eos|>',
    '<|eos|>',
    '<|User|> <|Assistant|> <think> </think> <|call|> <|output|> <|output_end|>',
  ),
  'gemma-3': tokens('<bos>', '<eos>', '<end_of_turn>', '<start_of_turn> <start_of_image>'),
  'gemma-4': tokens(
    '<bos>',
    '<eos>',
    '<turn|>',
    '<|turn> <|think|> <|channel> <channel|> <|tool> <tool|> <|tool_call> <tool_call|> <|"|>',
  ),
  'glm-4-6': tokens(
    '',
    '<|endoftext|>',
    '<|user|> <|observation|>',
    '[gMASK] <sop> <|system|> <|assistant|> <think> </think> <tool_call> </tool_call> <tool_response> </tool_response> <arg_key> </arg_key> <arg_value> </arg_value>',
  ),
  'gpt-oss': tokens(
    '<|startoftext|>',
    '<|return|>',
    '<|return|> <|call|>',
    '<|start|> <|end|> <|message|> <|channel|>',
  ),
  'granite-3-3': tokens('', '<|end_of_text|>', '<|end_of_text|>', '<|start_of_role|> <|end_of_role|> <|tool_call|>'),
  'hermes-3-tools': tokens('<|begin_of_text|>', '<|im_end|>', '<|im_end|>', CHATML),
  'lfm2-5': tokens('<|startoftext|>', '<|im_end|>', '<|im_end|>', `${CHATML} <think> </think>`),
  'llama-3-1': tokens('<|begin_of_text|>', '<|eot_id|>', '<|eot_id|>', LLAMA_3),
  'llama-4': tokens(
    '<|begin_of_text|>',
    '<|eot|>',
    '<|eot|>',
    '<|header_start|> <|header_end|> <|python_start|> <|python_end|> <|image|>',
  ),
  'minimax-m2': tokens('', '[e~[', '[e~[', ']~!b[ ]~b] <think> </think> <minimax:tool_call> </minimax:tool_call>'),
  'mistral-7b-v0-1': tokens('<s>', '</s>', '</s>', ''),
  'mistral-nemo': tokens(
    '<s>',
    '</s>',
    '</s>',
    '[INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] [/TOOL_RESULTS]',
  ),
  'mistral-small': tokens(
    '<s>',
    '</s>',
    '</s>',
    '[INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [ARGS] [TOOL_RESULTS] [TOOL_CONTENT] [/TOOL_RESULTS] [IMG]',
  ),
  'nemotron-nano': tokens('<s>', '<SPECIAL_12>', '<SPECIAL_12>', '<SPECIAL_10> <SPECIAL_11> <think> </think>'),
  'phi-4-mini': tokens(
    '<|endoftext|>',
    '<|endoftext|>',
    '<|end|>',
    '<|system|> <|user|> <|assistant|> <|tool|> <|/tool|> <|tool_call|> <|/tool_call|>',
  ),
  'qwen2-5': tokens('', '<|im_end|>', '<|im_end|>', `${CHATML} <|endoftext|> <tool_call> </tool_call>`),
  qwen3: tokens(
    '',
    '<|im_end|>',
    '<|im_end|>',
    `${CHATML} <|endoftext|> <think> </think> <tool_call> </tool_call> <tool_response> </tool_response>`,
  ),
  'seed-oss': tokens(
    '<seed:bos>',
    '<seed:eos>',
    '<seed:eos>',
    '<seed:think> </seed:think> <seed:tool_call> </seed:tool_call>',
  ),
  smollm3: tokens('', '<|im_end|>', '<|im_end|>', `${CHATML} <think> </think>`),
  'zephyr-newlines': tokens('<s>', '</s>', '</s>', ''),
};

const FOLDER = new URL('.', import.meta.url);

export const FAMILIES: readonly TemplateFamily[] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.jinja'))
  .sort()
  .map((file) => {
    const name = file.slice(0, -'.jinja'.length);
    const source = readFileSync(new URL(file, FOLDER), 'utf8');
    const [, like, trait] = /^\{#- (.+?): (.+)\. -#\}\n/.exec(source) ?? [];
    const known = TOKENS[name];
    if (like === undefined || trait === undefined || known === undefined)
      throw new Error(`${file} does not say what it is`);
    return { name, like, trait, source, ...known };
  });
