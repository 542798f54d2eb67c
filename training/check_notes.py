"""Check HF_NOTES.md: its equations, written out token by token in float64 numpy, against the golden figures.

usage: python check_notes.py [--models ../tests/fixtures/models]

Shares no code with transformers or with our models. Prints the largest nll and logit difference of each fixture; fails above 1e-3.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

TOLERANCE = 1e-3


class Weights:
    def __init__(self, path: Path):
        self.t = {}
        for file in path.glob("*.safetensors"):
            self.t |= {k: v.to(torch.float64).numpy() for k, v in load_file(file).items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.t[name]

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.t[name + ".weight"].T + self.t.get(name + ".bias", 0.0)

    def head(self, c: dict, embedding: str) -> np.ndarray:
        for name in ("lm_head.weight", "embed_out.weight"):
            if name in self.t:
                return self.t[name]
        assert c.get("tie_word_embeddings", c["model_type"] == "mamba"), "no head"
        return self.t[embedding]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softplus(x):
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))


def rms_norm(x, weight, eps):
    return weight * x / np.sqrt((x**2).mean(-1, keepdims=True) + eps)


def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def causal_conv(w: Weights, name: str, x):
    """Depthwise, the last tap on the current token."""
    taps = w[name + ".weight"][:, 0]
    k = taps.shape[1]
    padded = np.concatenate([np.zeros((k - 1, x.shape[1])), x])
    out = sum(padded[i : i + len(x)] * taps[:, i] for i in range(k))
    return out + w.t.get(name + ".bias", 0.0)


def mamba1_mixer(w: Weights, p: str, x, c: dict):
    d_inner = c.get("intermediate_size", c["expand"] * c["hidden_size"])
    n = c["state_size"]
    rank = c["time_step_rank"] if c["time_step_rank"] != "auto" else math.ceil(c["hidden_size"] / 16)
    u, z = np.split(w.linear(p + "in_proj", x), [d_inner], -1)
    u = silu(causal_conv(w, p + "conv1d", u))
    r, B, C = np.split(w.linear(p + "x_proj", u), [rank, rank + n], -1)
    dt = softplus(w.linear(p + "dt_proj", r))
    A = -np.exp(w[p + "A_log"])
    state, y = np.zeros((d_inner, n)), np.empty_like(u)
    for t in range(len(x)):
        state = np.exp(dt[t][:, None] * A) * state + (dt[t] * u[t])[:, None] * B[t]
        y[t] = state @ C[t] + w[p + "D"] * u[t]
    return w.linear(p + "out_proj", y * silu(z))


def limit(value) -> float:
    return float(value["__float__"]) if isinstance(value, dict) else float(value)


def mamba2_mixer(w: Weights, p: str, x, c: dict):
    heads, hd, groups, n = c["num_heads"], c["head_dim"], c["n_groups"], c["state_size"]
    d_inner = heads * hd
    z, xbc, dt = np.split(w.linear(p + "in_proj", x), [d_inner, 2 * d_inner + 2 * groups * n], -1)
    xbc = silu(causal_conv(w, p + "conv1d", xbc))
    u, B, C = np.split(xbc, [d_inner, d_inner + groups * n], -1)
    low, high = map(limit, c.get("time_step_limit", (0.0, math.inf)))
    dt = np.clip(softplus(dt + w[p + "dt_bias"]), low, high)
    a, D = -np.exp(w[p + "A_log"]), w[p + "D"]
    state, y = np.zeros((heads, hd, n)), np.empty((len(x), heads, hd))
    for t in range(len(x)):
        for h in range(heads):
            g = slice(h // (heads // groups) * n, (h // (heads // groups) + 1) * n)
            uh = u[t, h * hd : (h + 1) * hd]
            state[h] = np.exp(dt[t, h] * a[h]) * state[h] + dt[t, h] * np.outer(uh, B[t, g])
            y[t, h] = state[h] @ C[t, g] + D[h] * uh
    v = (y.reshape(len(x), d_inner) * silu(z)).reshape(len(x), groups, d_inner // groups)
    v = rms_norm(v, 1.0, c["layer_norm_epsilon"]).reshape(len(x), d_inner)
    return w.linear(p + "out_proj", v * w[p + "norm.weight"])


def mamba(w: Weights, ids, c: dict):
    eps = c["layer_norm_epsilon"]
    mixer = {"mamba": mamba1_mixer, "mamba2": mamba2_mixer}[c["model_type"]]
    x = w["backbone.embeddings.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        p = f"backbone.layers.{i}."
        x = x + mixer(w, p + "mixer.", rms_norm(x, w[p + "norm.weight"], eps), c)
    return rms_norm(x, w["backbone.norm_f.weight"], eps) @ w.head(c, "backbone.embeddings.weight").T


def rope_settings(c: dict) -> dict:
    rope = dict(c.get("rope_scaling") or c.get("rope_parameters") or {})
    rope.setdefault("rope_theta", c.get("rope_theta", c.get("rotary_emb_base", 10000.0)))
    rope.setdefault("rope_type", rope.get("type", "default"))
    rope.setdefault("partial_rotary_factor", c.get("rotary_pct", 0.25))
    return rope


def inverse_frequencies(c: dict, dim: int) -> np.ndarray:
    r = rope_settings(c)
    f = r["rope_theta"] ** (-np.arange(0, dim, 2) / dim)
    if r["rope_type"] == "default":
        return f
    assert r["rope_type"] == "llama3", r["rope_type"]
    wave = 2 * np.pi / f
    length = r.get("original_max_position_embeddings", c["max_position_embeddings"])
    low, high = r["low_freq_factor"], r["high_freq_factor"]
    s = np.clip((length / wave - low) / (high - low), 0, 1)
    return f * ((1 - s) / r["factor"] + s)


def attention(q, k, v, freq):
    """q [seq_len, n_head, hd], k and v [seq_len, n_kv_head, hd] -> [seq_len, n_head * hd]; the first 2 len(freq) channels turn."""
    seq_len, n_head, hd = q.shape
    angle = np.arange(seq_len)[:, None] * freq
    cos, sin, m = np.cos(angle), np.sin(angle), len(freq)

    def turn(x):
        first, second, rest = np.split(x, [m, 2 * m], -1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin, rest], -1)

    out = np.empty((seq_len, n_head, hd))
    for h in range(n_head):
        kv = h // (n_head // k.shape[1])
        scores = turn(q[:, h]) @ turn(k[:, kv]).T / math.sqrt(hd)
        scores[np.triu_indices(seq_len, 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, kv]
    return out.reshape(seq_len, -1)


def llama(w: Weights, ids, c: dict):
    n_head = c["num_attention_heads"]
    n_kv = c.get("num_key_value_heads") or n_head
    hd = c.get("head_dim") or c["hidden_size"] // n_head
    eps, freq = c["rms_norm_eps"], inverse_frequencies(c, hd)
    x = w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = rms_norm(x, w[p + "input_layernorm.weight"], eps)
        q, k, v = (
            w.linear(p + f"self_attn.{part}_proj", h).reshape(len(ids), n, hd)
            for part, n in (("q", n_head), ("k", n_kv), ("v", n_kv))
        )
        x = x + w.linear(p + "self_attn.o_proj", attention(q, k, v, freq))
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        x = x + w.linear(p + "mlp.down_proj", silu(w.linear(p + "mlp.gate_proj", h)) * w.linear(p + "mlp.up_proj", h))
    return rms_norm(x, w["model.norm.weight"], eps) @ w.head(c, "model.embed_tokens.weight").T


def neox(w: Weights, ids, c: dict):
    n_head, eps = c["num_attention_heads"], c["layer_norm_eps"]
    hd = c["hidden_size"] // n_head
    freq = inverse_frequencies(c, int(hd * rope_settings(c)["partial_rotary_factor"]))

    def norm(name, x):
        return layer_norm(x, w[name + ".weight"], w[name + ".bias"], eps)

    x = w["gpt_neox.embed_in.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        p = f"gpt_neox.layers.{i}."
        qkv = w.linear(p + "attention.query_key_value", norm(p + "input_layernorm", x)).reshape(len(ids), n_head, 3, hd)
        a = w.linear(p + "attention.dense", attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], freq))
        h = norm(p + "post_attention_layernorm", x if c["use_parallel_residual"] else x + a)
        x = x + a + w.linear(p + "mlp.dense_4h_to_h", gelu(w.linear(p + "mlp.dense_h_to_4h", h)))
    return norm("gpt_neox.final_layer_norm", x) @ w.head(c, "gpt_neox.embed_in.weight").T


MODELS = {"mamba": mamba, "mamba2": mamba, "llama": llama, "gpt_neox": neox}


def differences(path: Path) -> tuple[float, float]:
    c, w = json.loads((path / "config.json").read_text()), Weights(path)
    nll_worst = logit_worst = 0.0
    for case in json.loads((path / "expected.json").read_text())["cases"]:
        ids = np.array(case["ids"])
        logits = MODELS[c["model_type"]](w, ids, c)
        top = logits.max(-1, keepdims=True)
        logp = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        nll = -logp[np.arange(len(ids) - 1), ids[1:]]
        nll_worst = max(nll_worst, np.abs(nll - case["nll"]).max(initial=0))
        logit_worst = max(logit_worst, np.abs(logits[-1] - case["logits_last"]).max())
    return nll_worst, logit_worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parent.parent / "tests/fixtures/models")
    args = parser.parse_args()
    paths = sorted(p.parent for p in args.models.glob("*/expected.json"))
    worst = 0.0
    for path in paths:
        nll, logit = differences(path)
        worst = max(worst, nll, logit)
        print(f"{path.name:24s} nll {nll:.1e}  logits {logit:.1e}")
    if not paths or worst > TOLERANCE:
        raise SystemExit(f"the largest difference is {worst:.1e} over {len(paths)} fixtures")


if __name__ == "__main__":
    main()
