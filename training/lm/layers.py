"""Pieces that more than one model uses."""

import math

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-5


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), EPS)


def causal_conv(x, conv: nn.Conv1d):
    """Depthwise causal convolution of x [batch, seq_len, channels].

    A sum of shifted products: on a CPU several times faster than nn.Conv1d with one group per channel.
    """
    weight = conv.weight[:, 0].to(x.dtype)  # [channels, taps]
    taps, seq_len = weight.shape[1], x.shape[1]
    padded = F.pad(x, (0, 0, taps - 1, 0))
    out = conv.bias.to(x.dtype)
    for i in range(taps):
        out = out + padded[:, i : i + seq_len] * weight[:, i]
    return out


def initial_dt_bias(n: int) -> torch.Tensor:
    """softplus^-1 of step sizes drawn log-uniformly from 0.001 to 0.1 (Mamba paper, section 3.6)."""
    dt = torch.exp(torch.rand(n) * math.log(100) + math.log(0.001))
    return dt + torch.log(-torch.expm1(-dt))
