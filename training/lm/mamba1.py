"""Mamba-1 mixer: y_t = C_t . S_t + D u_t with S_t = exp(dt_t A) S_{t-1} + dt_t u_t B_t (Gu & Dao 2023, algorithm 2)."""

import ctypes
import subprocess
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .layers import causal_conv, initial_dt_bias

SOURCE = Path(__file__).with_name("scan.c")
D_STATE = 16  # a constant in scan.c
D_CONV = 4
_library = None


def library() -> ctypes.CDLL:
    """scan.c, compiled beside the source on first use."""
    global _library
    if _library is None:
        shared = SOURCE.with_suffix(".so")
        if not shared.exists() or shared.stat().st_mtime < SOURCE.stat().st_mtime:
            flags = ["-Ofast", "-march=native", "-shared", "-fPIC"]
            subprocess.run(["gcc", *flags, str(SOURCE), "-o", str(shared), "-lm"], check=True)
        _library = ctypes.CDLL(str(shared))
    return _library


def pointers(*tensors):
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]


class SelectiveScan(torch.autograd.Function):
    """u, dt [batch, seq_len, d_inner], A [d_inner, d_state], B, C [batch, seq_len, d_state] -> y [batch, seq_len, d_inner]."""

    @staticmethod
    def forward(ctx, u, dt, A, B, C):
        inputs = [t.detach().float().contiguous() for t in (u, dt, A, B, C)]
        y = torch.empty_like(inputs[0])
        library().scan_forward(*inputs[0].shape, *pointers(*inputs, y))
        ctx.save_for_backward(*inputs)
        return y

    @staticmethod
    def backward(ctx, dy):
        inputs = ctx.saved_tensors
        grads = [torch.zeros_like(t) for t in inputs]
        dy = dy.float().contiguous()
        library().scan_backward(*dy.shape, *pointers(*inputs, dy, *grads))
        return tuple(grads)


@torch.compiler.disable
def selective_scan(*args):
    return SelectiveScan.apply(*args)


class Mamba1Mixer(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        d_model, self.dt_rank = c["d_model"], c["dt_rank"]
        self.d_inner = d_inner = 2 * d_model
        if c["d_state"] != D_STATE:
            raise ValueError(f"d_state is {c['d_state']}, scan.c is written for {D_STATE}")
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, D_CONV, groups=d_inner, padding=D_CONV - 1)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * D_STATE, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, D_STATE + 1).float()).repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.dt_proj.bias.data = initial_dt_bias(d_inner)
        nn.init.uniform_(self.dt_proj.weight, -self.dt_rank**-0.5, self.dt_rank**-0.5)

    def forward(self, x):
        u, z = self.in_proj(x).chunk(2, -1)  # [batch, seq_len, d_inner] each
        u = F.silu(causal_conv(u, self.conv1d))
        dt, B, C = self.x_proj(u).split([self.dt_rank, D_STATE, D_STATE], -1)
        dt = F.softplus(self.dt_proj(dt).float())
        y = selective_scan(u.float(), dt, -torch.exp(self.A_log), B.float(), C.float()).to(u.dtype)
        y = y + u * self.D.to(u.dtype)
        return self.out_proj(y * F.silu(z))
