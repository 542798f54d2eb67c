"""A language model from a shape: embedding, blocks, norm, tied head.

A shape is a dict: kind ("mamba", "mamba2" or "llama"), vocab_size, d_model, n_layer, and per kind
mamba: d_state, dt_rank; mamba2: d_state, headdim, chunk_size; llama: n_head, n_kv_head, d_ff.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .layers import RMSNorm
from .llama import LlamaBlock, rope_table
from .mamba1 import Mamba1Mixer
from .mamba2 import Mamba2Mixer


class MambaBlock(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.norm = RMSNorm(c["d_model"])
        self.mixer = {"mamba": Mamba1Mixer, "mamba2": Mamba2Mixer}[c["kind"]](c)

    def forward(self, x):
        return x + self.mixer(self.norm(x)).to(x.dtype)


class LanguageModel(nn.Module):
    """ids [batch, seq_len] -> logits [batch, seq_len, vocab_size]."""

    def __init__(self, c: dict):
        super().__init__()
        self.shape = c


class MambaLM(LanguageModel):
    def __init__(self, c: dict):
        super().__init__(c)
        self.backbone = b = nn.Module()
        b.embeddings = nn.Embedding(c["vocab_size"], c["d_model"])
        b.layers = nn.ModuleList(MambaBlock(c) for _ in range(c["n_layer"]))
        b.norm_f = RMSNorm(c["d_model"])
        nn.init.normal_(b.embeddings.weight, std=0.02)
        for layer in b.layers:
            layer.mixer.out_proj.weight.data /= math.sqrt(c["n_layer"])

    def forward(self, ids):
        b = self.backbone
        x = b.embeddings(ids)
        for layer in b.layers:
            x = layer(x)
        return F.linear(b.norm_f(x), b.embeddings.weight)


class LlamaLM(LanguageModel):
    def __init__(self, c: dict):
        super().__init__(c)
        self.model = m = nn.Module()
        m.embed_tokens = nn.Embedding(c["vocab_size"], c["d_model"])
        m.layers = nn.ModuleList(LlamaBlock(c) for _ in range(c["n_layer"]))
        m.norm = RMSNorm(c["d_model"])
        nn.init.normal_(m.embed_tokens.weight, std=0.02)
        for layer in m.layers:
            layer.self_attn.o_proj.weight.data /= math.sqrt(2 * c["n_layer"])
            layer.mlp.down_proj.weight.data /= math.sqrt(2 * c["n_layer"])

    def forward(self, ids):
        m = self.model
        x = m.embed_tokens(ids)
        rope = rope_table(ids.shape[1], self.shape["d_model"] // self.shape["n_head"])
        for layer in m.layers:
            x = layer(x, rope)
        return F.linear(m.norm(x), m.embed_tokens.weight)


def build(shape: dict) -> LanguageModel:
    return LlamaLM(shape) if shape["kind"] == "llama" else MambaLM(shape)


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def optimizer_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay on matrices only: not on norms, biases, A_log, D, dt and the convolution."""

    def decays(name, p):
        return p.ndim >= 2 and not name.endswith("A_log") and "conv1d" not in name

    named = list(model.named_parameters())
    return [
        dict(params=[p for n, p in named if decays(n, p)], weight_decay=weight_decay),
        dict(params=[p for n, p in named if not decays(n, p)], weight_decay=0.0),
    ]
