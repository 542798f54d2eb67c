"""Write tests/fixtures/pruning/sparsessm.safetensors: which entries of A_log SparseSSM removes from the first layer of
tests/fixtures/models/mamba-f32.

usage: python make_sparsessm_fixture.py [--out ../tests/fixtures/pruning]

Written from the published description (arXiv 2506.09613) and the formula of the released code, in float64: the layer up to
its scan, then the recurrence token by token. The tokens are `numbers` of make_pruning_fixture.py, three sequences of 40.

Tensors uint8 [d_inner, d_state], 1 = removed: half (the lowest half of the matrix, weights 1 / (t + 1)), nm (two of every
four neighbouring states, the first quarter of the tokens). columns [d_state]: the half of the state columns that most tokens
vote out, the first token having no vote.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from make_pruning_fixture import lowest, numbers
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
TOKENS, SEQUENCES = 40, 3


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def scan_inputs(ids: np.ndarray, weights: dict, config: dict) -> tuple[np.ndarray, np.ndarray]:
    """abar and h before every token [tokens, d_inner, d_state] of layer 0."""
    w = {name.removeprefix("backbone.layers.0."): value.astype(float) for name, value in weights.items()}
    x = w["backbone.embeddings.weight"][ids]
    x = x / np.sqrt((x**2).mean(1, keepdims=True) + config["layer_norm_epsilon"]) * w["norm.weight"]
    u = x @ w["mixer.in_proj.weight"].T + w.get("mixer.in_proj.bias", 0.0)
    u = u[:, : u.shape[1] // 2]
    kernel = w["mixer.conv1d.weight"][:, 0]  # [d_inner, k]
    k = kernel.shape[1]
    padded = np.concatenate([np.zeros((k - 1, u.shape[1])), u])
    u = silu(sum(padded[i : i + len(u)] * kernel[:, i] for i in range(k)) + w.get("mixer.conv1d.bias", 0.0))
    dbc = u @ w["mixer.x_proj.weight"].T
    rank, states = w["mixer.dt_proj.weight"].shape[1], w["mixer.A_log"].shape[1]
    delta = np.logaddexp(0, dbc[:, :rank] @ w["mixer.dt_proj.weight"].T + w["mixer.dt_proj.bias"])
    b = dbc[:, rank : rank + states]
    abar = np.exp(delta[:, :, None] * -np.exp(w["mixer.A_log"]))
    before, h = np.zeros_like(abar), np.zeros(abar.shape[1:])
    for t in range(len(ids)):
        before[t] = h
        h = abar[t] * h + (delta[t] * u[t])[:, None] * b[t]
    return abar, before


def statistics() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sum of abar, and of j h² over the sequences j = 1, 2, .. [tokens, d_inner, d_state], and A_log."""
    folder = HERE.parent / "tests/fixtures/models/mamba-f32"
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    all_ids = ((numbers(21, TOKENS * SEQUENCES) + 0.5) * config["vocab_size"]).astype(int)
    decays, states = 0.0, 0.0
    for j, ids in enumerate(all_ids.reshape(SEQUENCES, TOKENS)):
        abar, before = scan_inputs(ids, weights, config)
        decays, states = decays + abar, states + (j + 1) * before**2
    return decays, states, weights["backbone.layers.0.mixer.A_log"].astype(float)


def voted_out(states: np.ndarray, a_log: np.ndarray) -> np.ndarray:
    """The half of the columns with the most votes; ties fall to the lower index."""
    gone = a_log.shape[1] // 2
    metric = (a_log**2 * states).sum(1)  # [tokens, d_state]
    votes = sum(lowest(row[None], gone)[0].astype(int) for row in metric[1:])
    return lowest(-votes[None].astype(float), gone)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "tests/fixtures/pruning")
    out = parser.parse_args().out
    decays, states, a_log = statistics()
    metric = decays**2 * states
    time = 1 / (np.arange(TOKENS) + 1.0)
    score = (time[:, None, None] * metric).sum(0)
    half = lowest(score.reshape(1, -1), score.size // 2).reshape(score.shape)
    score = metric[: -(-TOKENS // 4)].sum(0)
    nm = lowest(score.reshape(-1, 4), 2).reshape(score.shape)
    columns = voted_out(states, a_log)
    removed = {"half": half, "nm": nm, "columns": columns}
    save_file({name: gone.astype(np.uint8) for name, gone in removed.items()}, out / "sparsessm.safetensors")


if __name__ == "__main__":
    main()
