"""Writes the network and its tokenizer as one GGUF file (version 3, F16 matrices, F32 vectors)."""
import os
import struct

from network import HEAD_SIZE, NORM_EPSILON, ROPE_BASE
from tokenizer import CHAT_TEMPLATE, CONTROL

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9      # GGUF's numbers for metadata types
TENSOR_F32, TENSOR_F16 = 0, 1
NORMAL_TOKEN, CONTROL_TOKEN = 1, 3
CONTEXT_TOKENS = 4096
ALIGNMENT = 32


def string(text):
    raw = text.encode()
    return struct.pack('<Q', len(raw)) + raw


def scalar(kind, value):
    if kind == STRING: return string(value)
    return struct.pack({U32: '<I', I32: '<i', F32: '<f', BOOL: '<B'}[kind], value)


def entry(key, kind, value):
    head = string(key) + struct.pack('<I', kind)
    if kind != ARRAY: return head + scalar(kind, value)
    item_kind, items = value
    return head + struct.pack('<IQ', item_kind, len(items)) + b''.join(scalar(item_kind, x) for x in items)


def metadata(shape, tokenizer):
    kinds = [CONTROL_TOKEN if t in CONTROL else NORMAL_TOKEN for t in tokenizer.tokens]
    return [
        entry('general.architecture', STRING, 'llama'),
        entry('general.name', STRING, 'DisCEdge demo'),
        entry('general.description', STRING, 'Tiny chat model trained from generated text; remembers facts of its session.'),
        entry('general.license', STRING, 'mit'),
        entry('general.file_type', U32, 1),
        entry('general.quantization_version', U32, 2),
        entry('llama.block_count', U32, shape.layers),
        entry('llama.context_length', U32, CONTEXT_TOKENS),
        entry('llama.embedding_length', U32, shape.width),
        entry('llama.feed_forward_length', U32, shape.inner),
        entry('llama.attention.head_count', U32, shape.heads),
        entry('llama.attention.head_count_kv', U32, shape.heads),
        entry('llama.attention.layer_norm_rms_epsilon', F32, NORM_EPSILON),
        entry('llama.rope.dimension_count', U32, HEAD_SIZE),
        entry('llama.rope.freq_base', F32, ROPE_BASE),
        entry('llama.vocab_size', U32, shape.vocabulary),
        entry('tokenizer.ggml.model', STRING, 'gpt2'),
        entry('tokenizer.ggml.pre', STRING, 'qwen2'),
        entry('tokenizer.ggml.tokens', ARRAY, (STRING, tokenizer.tokens)),
        entry('tokenizer.ggml.token_type', ARRAY, (I32, kinds)),
        entry('tokenizer.ggml.merges', ARRAY, (STRING, [a + ' ' + b for a, b in tokenizer.merges])),
        entry('tokenizer.ggml.bos_token_id', U32, tokenizer.end_of_text),
        entry('tokenizer.ggml.eos_token_id', U32, tokenizer.end),
        entry('tokenizer.ggml.eot_token_id', U32, tokenizer.end),
        entry('tokenizer.ggml.padding_token_id', U32, tokenizer.end_of_text),
        entry('tokenizer.ggml.add_bos_token', BOOL, 0),
        entry('tokenizer.chat_template', STRING, CHAT_TEMPLATE),
    ]


def tensors(network):
    """GGUF's tensor names and the arrays. llama.cpp's llama architecture rotates interleaved pairs, as
    the network does, so no row is permuted."""
    array = lambda t: t.detach().float().numpy()
    d, ff = network.shape.width, network.shape.inner
    yield 'token_embd.weight', array(network.embedding)
    yield 'output_norm.weight', array(network.output_norm)
    for i, block in enumerate(network.blocks):
        named = {'attn_norm.weight': block.attention_norm, 'ffn_norm.weight': block.ffn_norm,
                 'attn_q.weight': block.qkv[:d], 'attn_k.weight': block.qkv[d:2 * d], 'attn_v.weight': block.qkv[2 * d:],
                 'attn_q.bias': block.q_bias, 'attn_k.bias': block.k_bias, 'attn_v.bias': block.k_bias * 0,
                 'attn_output.weight': block.out, 'ffn_gate.weight': block.gate_up[:ff], 'ffn_up.weight': block.gate_up[ff:],
                 'ffn_down.weight': block.down}
        for name, t in named.items(): yield 'blk.%d.%s' % (i, name), array(t)


def padding(n):
    return b'\0' * (-n % ALIGNMENT)


def write(path, network, tokenizer):
    meta, infos, data, offset = metadata(network.shape, tokenizer), [], [], 0
    for name, a in tensors(network):
        kind = TENSOR_F32 if a.ndim == 1 else TENSOR_F16
        raw = a.astype('<f4' if kind == TENSOR_F32 else '<f2').tobytes()
        infos.append(string(name) + struct.pack('<I', a.ndim) + b''.join(struct.pack('<Q', n) for n in reversed(a.shape))
                     + struct.pack('<IQ', kind, offset))
        data.append(raw + padding(len(raw)))
        offset += len(data[-1])
    head = b'GGUF' + struct.pack('<IQQ', 3, len(infos), len(meta)) + b''.join(meta) + b''.join(infos)
    with open(path + '.tmp', 'wb') as f:
        f.write(head + padding(len(head)) + b''.join(data))
    os.replace(path + '.tmp', path)
