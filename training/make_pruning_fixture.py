"""Write tests/fixtures/pruning/layer.safetensors: what Wanda and SparseGPT make of one random 64 x 256 matrix.

usage: python make_pruning_fixture.py [--out ../tests/fixtures/pruning]

Written from the published descriptions (Sun et al. 2023, equation 1; Frantar & Alistarh 2023, algorithm 1), column by
column in float64, with a general inverse and a Cholesky factor of it, where the Rust code has neither. The matrix and
its inputs are not stored: `numbers` is SplitMix64, and src/prune/tests/fixture.rs builds the same ones.

Tensors [64, 256]: wanda_50, wanda_2_4 (uint8, 1 = removed); sparsegpt_50_row and sparsegpt_2_4 (float32 weights; every
row loses half of every block of 128), sparsegpt_50_shared (the authors' rule: one threshold for all rows of a block,
the weight at the threshold goes too).
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROWS, COLS, TOKENS, BLOCK, DAMPING = 64, 256, 512, 128, 0.01


def numbers(seed: int, n: int) -> np.ndarray:
    """n uniform numbers in [-0.5, 0.5) with 24 bits each, from SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5


def layer() -> tuple[np.ndarray, np.ndarray]:
    """Weights [64, 256] and inputs [512, 256]; an input is its own noise plus what every eighth input shares."""
    weights = numbers(1, ROWS * COLS).reshape(ROWS, COLS)
    own = numbers(2, TOKENS * COLS).reshape(TOKENS, COLS)
    shared = numbers(3, TOKENS * 8).reshape(TOKENS, 8)
    scale = 2.0 ** np.round(numbers(4, COLS) * 6)  # 1/8 to 8, so that the norms differ
    return weights, (own + shared[:, np.arange(COLS) % 8]) * scale


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Marks the `count` lowest scores of every row."""
    mask = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(mask, np.argsort(scores, axis=1, kind="stable")[:, :count], True, axis=1)
    return mask


def in_fours(scores: np.ndarray) -> np.ndarray:
    return lowest(scores.reshape(-1, 4), 2).reshape(scores.shape)


def sparsegpt(weights: np.ndarray, inputs: np.ndarray, rule: str) -> np.ndarray:
    w = weights.copy()
    hessian = 2 * inputs.T @ inputs
    hessian += DAMPING * np.mean(np.diag(hessian)) * np.eye(COLS)
    u = np.linalg.cholesky(np.linalg.inv(hessian)).T  # H^-1 = U^T U
    for start in range(0, COLS, BLOCK):
        columns = slice(start, start + BLOCK)
        score = w[:, columns] ** 2 / np.diag(u)[columns] ** 2
        mask = np.zeros((ROWS, BLOCK), dtype=bool)
        if rule == "row":
            mask = lowest(score, BLOCK // 2)
        elif rule == "shared":
            mask = score <= np.sort(score, axis=None)[score.size // 2]
        for j in range(start, start + BLOCK):
            if rule == "2:4" and j % 4 == 0:
                now = w[:, j : j + 4] ** 2 / np.diag(u)[j : j + 4] ** 2
                mask[:, j - start : j - start + 4] = lowest(now, 2)
            error = np.where(mask[:, j - start], w[:, j], 0.0) / u[j, j]
            w[:, j:] -= np.outer(error, u[j, j:])
            w[mask[:, j - start], j] = 0.0
    return w.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests/fixtures/pruning")
    out = parser.parse_args().out
    weights, inputs = layer()
    wanda = np.abs(weights) * np.linalg.norm(inputs, axis=0)
    out.mkdir(parents=True, exist_ok=True)
    tensors = {
        "wanda_50": lowest(wanda, COLS // 2).astype(np.uint8),
        "wanda_2_4": in_fours(wanda).astype(np.uint8),
        "sparsegpt_50_row": sparsegpt(weights, inputs, "row"),
        "sparsegpt_2_4": sparsegpt(weights, inputs, "2:4"),
        "sparsegpt_50_shared": sparsegpt(weights, inputs, "shared"),
    }
    save_file(tensors, out / "layer.safetensors")


if __name__ == "__main__":
    main()
