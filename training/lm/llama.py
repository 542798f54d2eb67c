"""Llama block: grouped-query attention with rotary positions, and a SwiGLU feed-forward network."""

import torch
import torch.nn.functional as F
from torch import nn

from .layers import RMSNorm

ROPE_THETA = 10000.0


def rope_table(seq_len: int, head_dim: int):
    """cos and sin [seq_len, head_dim], the second half repeating the first."""
    inv_freq = ROPE_THETA ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    angle = torch.arange(seq_len).float()[:, None] * inv_freq
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """x [batch, head, seq_len, head_dim]; channel i turns with channel i + head_dim / 2."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Attention(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        d_model, self.n_head, self.n_kv_head = c["d_model"], c["n_head"], c["n_kv_head"]
        self.head_dim = d_model // self.n_head
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, self.n_kv_head * self.head_dim, bias=False)
        self.v_proj = nn.Linear(d_model, self.n_kv_head * self.head_dim, bias=False)

    def heads(self, projected, n):
        batch, seq_len, _ = projected.shape
        return projected.view(batch, seq_len, n, self.head_dim).transpose(1, 2)

    def forward(self, x, rope):
        q = self.heads(self.q_proj(x), self.n_head)
        k = self.heads(self.k_proj(x), self.n_kv_head)
        v = self.heads(self.v_proj(x), self.n_kv_head)
        q, k = rotate(q, *rope).to(v.dtype), rotate(k, *rope).to(v.dtype)
        share = self.n_head // self.n_kv_head
        if share > 1:
            k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.gate_proj = nn.Linear(d_model, d_ff, bias=False)
        self.up_proj = nn.Linear(d_model, d_ff, bias=False)
        self.down_proj = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaBlock(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.input_layernorm = RMSNorm(c["d_model"])
        self.post_attention_layernorm = RMSNorm(c["d_model"])
        self.self_attn = Attention(c)
        self.mlp = FeedForward(c["d_model"], c["d_ff"])

    def forward(self, x, rope):
        x = x + self.self_attn(self.input_layernorm(x), rope)
        return x + self.mlp(self.post_attention_layernorm(x))
