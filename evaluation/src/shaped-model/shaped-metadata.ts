import { boolEntry, float32Entry, stringEntry, uint32Entry } from './gguf-encoding.ts';
import type { MetadataEntry } from './gguf-metadata.ts';
import type { ModelShape } from './model-shape.ts';
import { FILE_TYPE, type WeightType } from './weight-type.ts';

/** Says that the words of such a model mean nothing, for whoever reports a measurement with it. */
export const RANDOM_WEIGHTS_KEY = 'discedge.random_weights';

const CHAT_TEMPLATE_KEY = 'tokenizer.chat_template';
/** ChatML with the default system message of Qwen1.5. */
const CHATML = `{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful assistant<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`;
const CHATML_TOKENS = ['<|im_start|>', '<|im_end|>'];

/** Constants of every Qwen1.5 model. */
const NORM_EPSILON = 1e-6;
const ROPE_BASE = 1_000_000;
/** Of the formats of llama.cpp's quantized types. */
const QUANTIZATION_VERSION = 2;

export interface ShapedMetadataOptions {
  readonly shape: ModelShape;
  readonly shapeName: string;
  readonly type: WeightType;
  readonly seed: number;
  /** All metadata of the vocabulary file; what concerns the tokenizer is taken over. */
  readonly source: readonly MetadataEntry[];
  /** The vocabulary. */
  readonly tokens: readonly string[];
}

/** Metadata of a qwen2 model of this shape. A vocabulary with ChatML's control tokens and no chat template gets ChatML. */
export function shapedMetadata(options: ShapedMetadataOptions): MetadataEntry[] {
  const { shape, shapeName, type, seed, source, tokens } = options;
  const tokenizer = source.filter(({ key }) => key.startsWith('tokenizer.'));
  const lacksTemplate = !tokenizer.some(({ key }) => key === CHAT_TEMPLATE_KEY);
  const speaksChatMl = CHATML_TOKENS.every((token) => tokens.includes(token));
  return [
    stringEntry('general.architecture', 'qwen2'),
    stringEntry('general.type', 'model'),
    stringEntry('general.name', `${shapeName} shape, random weights`),
    stringEntry('general.description', `Random weights from seed ${seed}: real cost, words without meaning.`),
    uint32Entry('general.file_type', FILE_TYPE[type]),
    uint32Entry('general.quantization_version', QUANTIZATION_VERSION),
    boolEntry(RANDOM_WEIGHTS_KEY, true),
    uint32Entry('qwen2.block_count', shape.layers),
    uint32Entry('qwen2.context_length', shape.contextTokens),
    uint32Entry('qwen2.embedding_length', shape.hidden),
    uint32Entry('qwen2.feed_forward_length', shape.feedForward),
    uint32Entry('qwen2.attention.head_count', shape.heads),
    uint32Entry('qwen2.attention.head_count_kv', shape.kvHeads),
    float32Entry('qwen2.attention.layer_norm_rms_epsilon', NORM_EPSILON),
    float32Entry('qwen2.rope.freq_base', ROPE_BASE),
    ...tokenizer,
    ...(lacksTemplate && speaksChatMl ? [stringEntry(CHAT_TEMPLATE_KEY, CHATML)] : []),
  ];
}
