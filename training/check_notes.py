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
        assert c.get("tie_word_embeddings", c["model_type"] in ("mamba", "falcon_mamba", "gpt2", "opt", "smollm3")), "no head"
        return self.t[embedding]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_tanh, "relu": lambda x: np.maximum(x, 0)}


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
    if c["model_type"] == "falcon_mamba":
        r, B, C = (rms_norm(x, 1.0, c["mixer_rms_eps"]) for x in (r, B, C))
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
    mixer = mamba2_mixer if c["model_type"] == "mamba2" else mamba1_mixer
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


def original(c: dict) -> dict:
    """A configuration of mamba_ssm under the names of its conversion."""
    ssm = c["ssm_cfg"]
    names = dict(d_state="state_size", d_conv="conv_kernel", dt_rank="time_step_rank", headdim="head_dim", ngroups="n_groups")
    second = ssm.get("layer") == "Mamba2"
    out = dict(model_type="mamba2" if second else "mamba", hidden_size=c["d_model"], num_hidden_layers=c["n_layer"], expand=2,
               layer_norm_epsilon=1e-5, tie_word_embeddings=True, time_step_rank="auto")
    out |= {names[k]: v for k, v in ssm.items() if k in names}
    if second:
        out["num_heads"] = 2 * c["d_model"] // out["head_dim"]
    return out


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


def attention(q, k, v, freq, scale=None):
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
        scores = turn(q[:, h]) @ turn(k[:, kv]).T * (scale or 1 / math.sqrt(hd))
        scores[np.triu_indices(seq_len, 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, kv]
    return out.reshape(seq_len, -1)


def self_attention(w: Weights, p: str, h, c: dict, freq, scale=None):
    n_head = c["num_attention_heads"]
    n_kv = c.get("num_key_value_heads") or n_head
    hd = c.get("head_dim") or c["hidden_size"] // n_head
    q, k, v = (w.linear(f"{p}{part}_proj", h).reshape(len(h), n, hd) for part, n in (("q", n_head), ("k", n_kv), ("v", n_kv)))
    if p + "q_norm.weight" in w.t:
        q, k = (rms_norm(x, w[f"{p}{name}_norm.weight"], c["rms_norm_eps"]) for x, name in ((q, "q"), (k, "k")))
    return w.linear(p + "o_proj", attention(q, k, v, freq, scale))


def llama(w: Weights, ids, c: dict):
    """Also Qwen2, Qwen3, Mistral and SmolLM3."""
    n_head = c["num_attention_heads"]
    hd = c.get("head_dim") or c["hidden_size"] // n_head
    eps, freq = c["rms_norm_eps"], inverse_frequencies(c, hd)
    turns = c.get("no_rope_layers") or [1] * c["num_hidden_layers"]
    x = w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = rms_norm(x, w[p + "input_layernorm.weight"], eps)
        x = x + self_attention(w, p + "self_attn.", h, c, freq if turns[i] else freq[:0])
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        x = x + w.linear(p + "mlp.down_proj", silu(w.linear(p + "mlp.gate_proj", h)) * w.linear(p + "mlp.up_proj", h))
    return rms_norm(x, w["model.norm.weight"], eps) @ w.head(c, "model.embed_tokens.weight").T


def granite(w: Weights, ids, c: dict):
    eps, r = c["rms_norm_eps"], c["residual_multiplier"]
    hd = c["hidden_size"] // c["num_attention_heads"]
    freq = inverse_frequencies(c, hd) if c["position_embedding_type"] == "rope" else np.zeros(0)
    ssm = dict(num_heads=c["mamba_n_heads"], head_dim=c["mamba_d_head"], n_groups=c["mamba_n_groups"], state_size=c["mamba_d_state"],
               layer_norm_epsilon=eps, time_step_limit=c["time_step_limit"])
    x = c["embedding_multiplier"] * w["model.embed_tokens.weight"][ids]
    for i, kind in enumerate(c.get("layer_types") or c["layers_block_type"]):
        p = f"model.layers.{i}."
        h = rms_norm(x, w[p + "input_layernorm.weight"], eps)
        if kind in ("mamba", "linear_attention"):
            x = x + r * mamba2_mixer(w, p + "mamba.", h, ssm)
        else:
            x = x + r * self_attention(w, p + "self_attn.", h, c, freq, c["attention_multiplier"])
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        gate, up = np.split(w.linear(p + "shared_mlp.input_linear", h), 2, -1)
        x = x + r * w.linear(p + "shared_mlp.output_linear", silu(gate) * up)
    return rms_norm(x, w["model.norm.weight"], eps) @ w.head(c, "model.embed_tokens.weight").T / c["logits_scaling"]


def learned(w: Weights, ids, c: dict):
    """GPT-2 and OPT."""
    second = c["model_type"] == "gpt2"
    front = "transformer." if second else "model.decoder."
    d, n_head = (c["n_embd"], c["n_head"]) if second else (c["hidden_size"], c["num_attention_heads"])
    eps = c["layer_norm_epsilon"] if second else 1e-5
    act = ACTIVATIONS[c["activation_function"]]

    def norm(name, x):
        return layer_norm(x, w[name + ".weight"], w[name + ".bias"], eps)

    def linear(name, x):  # GPT-2 stores its inputs first
        return x @ w[name + ".weight"] + w[name + ".bias"] if second else w.linear(name, x)

    embedding = front + ("wte" if second else "embed_tokens") + ".weight"
    positions = w[front + ("wpe" if second else "embed_positions") + ".weight"][0 if second else 2 :]
    x = w[embedding][ids] + positions[: len(ids)]
    for i in range(c["n_layer"] if second else c["num_hidden_layers"]):
        p = f"{front}{'h' if second else 'layers'}.{i}."
        h = norm(p + ("ln_1" if second else "self_attn_layer_norm"), x)
        if second:
            q, k, v = (part.reshape(len(ids), n_head, d // n_head) for part in np.split(linear(p + "attn.c_attn", h), 3, -1))
        else:
            q, k, v = (linear(f"{p}self_attn.{part}_proj", h).reshape(len(ids), n_head, d // n_head) for part in "qkv")
        scale = 1 / math.sqrt(d // n_head) / (i + 1 if c.get("scale_attn_by_inverse_layer_idx") else 1)
        x = x + linear(p + ("attn.c_proj" if second else "self_attn.out_proj"), attention(q, k, v, np.zeros(0), scale))
        h = norm(p + ("ln_2" if second else "final_layer_norm"), x)
        up, down = ("mlp.c_fc", "mlp.c_proj") if second else ("fc1", "fc2")
        x = x + linear(p + down, act(linear(p + up, h)))
    return norm(front + ("ln_f" if second else "final_layer_norm"), x) @ w.head(c, embedding).T


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


MODELS = {"mamba": mamba, "mamba2": mamba, "falcon_mamba": mamba, "llama": llama, "qwen2": llama, "qwen3": llama, "mistral": llama,
          "smollm3": llama, "gpt_neox": neox, "gpt2": learned, "opt": learned, "granitemoehybrid": granite}


def differences(path: Path) -> tuple[float, float]:
    c, w = json.loads((path / "config.json").read_text()), Weights(path)
    if "model_type" not in c:
        c = original(c)
        w.t["backbone.embeddings.weight"] = w.t["backbone.embedding.weight"]
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
