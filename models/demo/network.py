"""The network: llama architecture (RMSNorm, RoPE on interleaved pairs, SwiGLU, tied embeddings) with
biases on queries and keys, which llama.cpp's llama architecture loads where they are present."""
import torch
from torch import nn
from torch.nn import functional as F

ROPE_BASE = 10000.0
NORM_EPSILON = 1e-5
HEAD_SIZE = 32


class Shape:
    """Sizes of one network."""

    def __init__(self, vocabulary, width=192, layers=4, inner=512):
        self.vocabulary, self.width, self.layers, self.inner = vocabulary, width, layers, inner
        self.heads = width // HEAD_SIZE


def rotation(positions):
    """Cosines and sines for RoPE: positions B x T -> two tensors B x 1 x T x HEAD_SIZE / 2."""
    frequency = ROPE_BASE ** (-torch.arange(0, HEAD_SIZE, 2).float() / HEAD_SIZE)
    angle = positions[:, None, :, None].float() * frequency
    return angle.cos(), angle.sin()


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPSILON) * gain


def rotate(t, cos, sin):
    a, b = t[..., 0::2], t[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d, ff = shape.width, shape.inner
        self.heads = shape.heads
        self.attention_norm, self.ffn_norm = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.qkv = nn.Parameter(torch.randn(3 * d, d) * d ** -0.5)
        self.q_bias, self.k_bias = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d))
        self.out = nn.Parameter(torch.randn(d, d) * d ** -0.5 * 0.3)
        self.gate_up = nn.Parameter(torch.randn(2 * ff, d) * d ** -0.5)
        self.down = nn.Parameter(torch.randn(d, ff) * ff ** -0.5 * 0.3)

    def look_back(self, head, tokens):
        """A head start: biases that make `head` look `tokens` tokens back (the score is a sum of
        cos(frequency * (distance - tokens)) over the fast RoPE pairs). Copying words never seen
        needs such heads, and training takes long to find them."""
        with torch.no_grad():
            for f in range(7):
                angle = torch.tensor(tokens * ROPE_BASE ** (-2 * f / HEAD_SIZE))
                j = head * HEAD_SIZE + 2 * f
                self.q_bias[j] = 6.0
                self.k_bias[j], self.k_bias[j + 1] = 6.0 * torch.cos(angle), 6.0 * torch.sin(angle)

    def forward(self, x, cos, sin):
        B, T, d = x.shape
        split = lambda t: t.view(B, T, self.heads, HEAD_SIZE).transpose(1, 2)
        q, k, v = F.linear(norm(x, self.attention_norm), self.qkv).chunk(3, -1)
        q, k = (rotate(split(t + bias), cos, sin).to(v.dtype) for t, bias in ((q, self.q_bias), (k, self.k_bias)))
        y = F.scaled_dot_product_attention(q, k, split(v), is_causal=True)
        x = x + F.linear(y.transpose(1, 2).reshape(B, T, d), self.out)
        gate, up = F.linear(norm(x, self.ffn_norm), self.gate_up).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.down)


class Network(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.05)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.Parameter(torch.ones(shape.width))
        self.blocks[0].look_back(0, 1)
        self.blocks[0].look_back(1, 2)

    def forward(self, ids, positions, pick):
        """ids, positions: B x T. Returns the logits at the flat positions `pick`."""
        cos, sin = rotation(positions)
        x = self.embedding[ids]
        for block in self.blocks:
            x = block(x, cos, sin)
        return F.linear(norm(x, self.output_norm).flatten(0, 1)[pick], self.embedding)
