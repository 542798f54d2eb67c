"""Write tests/fixtures/pruning/quantised.safetensors: what round-to-nearest and GPTQ make of the matrix of
make_pruning_fixture.py.

usage: python make_quantised_fixture.py [--out ../tests/fixtures/pruning]

Written from the published algorithms (Frantar et al. 2022, algorithm 1; Frantar & Alistarh 2023, algorithm 1 and section
3.5) in float64 with a general inverse, column by column, where the Rust code has neither. Scales are rounded to float16.

For every case NAME: NAME.codes uint8 [64, 256], NAME.scales float16 [64, groups], NAME.zeros uint8 [64, groups];
a weight is scale * (code - zero). `joint` cases remove weights in the same pass: half of every row and block, the
authors' threshold for all rows of a block, and 2:4.
"""

import argparse
from pathlib import Path

import numpy as np
from make_pruning_fixture import BLOCK, COLS, DAMPING, ROWS, layer, lowest
from safetensors.numpy import save_file

# name: (bits, inputs of a group, symmetric, rule of removal; None: round-to-nearest)
CASES = {
    "rtn_4_row": (4, COLS, True, None),
    "rtn_4_64_range": (4, 64, False, None),
    "gptq_8_row": (8, COLS, True, "none"),
    "gptq_4_row": (4, COLS, True, "none"),
    "gptq_4_row_range": (4, COLS, False, "none"),
    "gptq_4_32": (4, 32, True, "none"),
    "gptq_4_128_range": (4, 128, False, "none"),
    "joint_4_row_half": (4, COLS, True, "row"),
    "joint_4_row_shared": (4, COLS, True, "shared"),
    "joint_8_64_2_4": (8, 64, True, "2:4"),
}


class Grid:
    """A grid for every row of `weights` [rows, n]."""

    def __init__(self, weights: np.ndarray, bits: int, symmetric: bool) -> None:
        self.most = 2**bits - 1
        low, high = np.minimum(weights.min(1), 0), np.maximum(weights.max(1), 0)
        if symmetric:
            high = np.maximum(high, -low)
            low = -high
        self.scale = ((high - low) / self.most).astype(np.float16)
        self.zero = np.full(len(low), (self.most + 1) / 2) if symmetric else np.round(-low / self.scale.astype(float))

    def codes(self, column: np.ndarray) -> np.ndarray:
        return np.clip(np.round(column / self.scale.astype(float)) + self.zero, 0, self.most)

    def values(self, column: np.ndarray) -> np.ndarray:
        return self.scale.astype(float) * (self.codes(column) - self.zero)


def quantise(bits: int, group: int, symmetric: bool, rule: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights, inputs = layer()
    w = weights.copy()
    hessian = 2 * inputs.T @ inputs
    hessian += DAMPING * np.mean(np.diag(hessian)) * np.eye(COLS)
    u = np.linalg.cholesky(np.linalg.inv(hessian)).T  # H^-1 = U^T U
    codes = np.zeros((ROWS, COLS), dtype=np.uint8)
    grids = []
    mask = np.zeros((ROWS, COLS), dtype=bool)
    for j in range(COLS):
        if j % BLOCK == 0 and rule in ("row", "shared"):
            block = slice(j, j + BLOCK)
            score = w[:, block] ** 2 / np.diag(u)[block] ** 2
            if rule == "row":
                mask[:, block] = lowest(score, BLOCK // 2)
            else:
                mask[:, block] = score <= np.sort(score, axis=None)[score.size // 2]
        if j % 4 == 0 and rule == "2:4":
            mask[:, j : j + 4] = lowest(w[:, j : j + 4] ** 2 / np.diag(u)[j : j + 4] ** 2, 2)
        if j % group == 0:
            grids.append(Grid(w[:, j : j + group], bits, symmetric))
        column = np.where(mask[:, j], 0.0, w[:, j])
        codes[:, j] = grids[-1].codes(column)
        if rule is not None:
            error = (w[:, j] - grids[-1].values(column)) / u[j, j]
            w[:, j + 1 :] -= np.outer(error, u[j, j + 1 :])
    scales = np.stack([grid.scale for grid in grids], axis=1)
    zeros = np.stack([grid.zero for grid in grids], axis=1).astype(np.uint8)
    return codes, scales, zeros


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests/fixtures/pruning")
    out = parser.parse_args().out
    tensors = {}
    for name, case in CASES.items():
        codes, scales, zeros = quantise(*case)
        tensors |= {f"{name}.codes": codes, f"{name}.scales": scales, f"{name}.zeros": zeros}
    save_file(tensors, out / "quantised.safetensors")


if __name__ == "__main__":
    main()
