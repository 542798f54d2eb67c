"""Mamba-2 mixer, chunked state-space dual form (Dao & Gu 2024, section 6, listing 1), one group of B and C."""

import torch
import torch.nn.functional as F
from torch import nn

from .layers import RMSNorm, causal_conv, initial_dt_bias

D_CONV = 4


class Mamba2Mixer(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        d_model = c["d_model"]
        self.d_inner, self.d_state = 2 * d_model, c["d_state"]
        self.headdim, self.chunk_size = c["headdim"], c["chunk_size"]
        self.n_heads = self.d_inner // self.headdim
        conv_dim = self.d_inner + 2 * self.d_state
        self.in_proj = nn.Linear(d_model, self.d_inner + conv_dim + self.n_heads, bias=False)
        self.conv1d = nn.Conv1d(conv_dim, conv_dim, D_CONV, groups=conv_dim, padding=D_CONV - 1)
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        self.dt_bias = nn.Parameter(initial_dt_bias(self.n_heads))
        self.A_log = nn.Parameter(torch.log(torch.arange(1, self.n_heads + 1).float()))
        self.D = nn.Parameter(torch.ones(self.n_heads))
        self.norm = RMSNorm(self.d_inner)

    def forward(self, x):
        seq_len = x.shape[1]
        z, xBC, dt = self.in_proj(x).split([self.d_inner, self.d_inner + 2 * self.d_state, self.n_heads], -1)
        xBC = F.silu(causal_conv(xBC, self.conv1d))
        dt = F.softplus(dt.float() + self.dt_bias)
        # Padding on the right changes nothing to its left; it is cut off again below.
        chunk = min(self.chunk_size, seq_len)
        pad = -seq_len % chunk
        if pad:
            xBC, dt = F.pad(xBC, (0, 0, 0, pad)), F.pad(dt, (0, 0, 0, pad))
        y = self.scan(xBC, dt, chunk)[:, :seq_len]
        return self.out_proj(self.norm(y * F.silu(z)))

    def scan(self, xBC, dt, chunk):
        """xBC [batch, len, conv_dim], dt [batch, len, n_heads] -> [batch, len, d_inner]; len a multiple of chunk.

        Decays are summed and exponentiated in float32, the matrix products run in the autocast type.
        """
        batch, length, _ = xBC.shape
        n = length // chunk
        work = torch.bfloat16 if torch.is_autocast_enabled("cpu") else xBC.dtype
        u, B, C = xBC.split([self.d_inner, self.d_state, self.d_state], -1)
        u = u.reshape(batch, n, chunk, self.n_heads, self.headdim).transpose(2, 3)  # [batch, n, head, chunk, headdim]
        dt = dt.view(batch, n, chunk, self.n_heads).transpose(2, 3)  # [batch, n, head, chunk]
        B = B.reshape(batch, n, 1, chunk, self.d_state).to(work)
        C = C.reshape(batch, n, 1, chunk, self.d_state).to(work)
        log_decay = torch.cumsum(dt * -torch.exp(self.A_log)[:, None], -1)
        inputs = (u * dt[..., None]).to(work)

        # Within a chunk: (C B^T * decay) inputs, a masked attention.
        causal = torch.ones(chunk, chunk, dtype=torch.bool).tril()
        between = (log_decay[..., :, None] - log_decay[..., None, :]).masked_fill(~causal, -1e9)
        y = (C @ B.transpose(-1, -2) * torch.exp(between).to(work)) @ inputs
        # From earlier chunks: their states, carried across chunk borders.
        if n > 1:
            to_end = torch.exp(log_decay[..., -1:] - log_decay)[..., None].to(work)
            added = B.transpose(-1, -2) @ (inputs * to_end)  # [batch, n, head, d_state, headdim]
            kept = torch.exp(log_decay[..., -1])[..., None, None].to(work)
            state, before = torch.zeros_like(added[:, 0]), []
            for i in range(n):
                before.append(state)
                state = state * kept[:, i] + added[:, i]
            y = y + C @ torch.stack(before, 1) * torch.exp(log_decay)[..., None].to(work)
        y = y + u * self.D[:, None, None].to(work)
        return y.transpose(2, 3).reshape(batch, length, self.d_inner)
