"""Write tests/fixtures/pruning/thanos.safetensors: what Thanos makes of the matrix of make_pruning_fixture.py.

usage: python make_thanos_fixture.py [--out ../tests/fixtures/pruning]

Written from the published algorithm (arXiv 2504.05346, unstructured, blocks of 128) in float64: before each block the lowest
Wanda scores of all columns that are left, as many as are owed, over all rows together; those of the block go, and a general
solve on the inverse of what remains moves the others.

Tensor half float32 [64, 256]: half of the matrix removed.
"""

import argparse
from pathlib import Path

import numpy as np
from make_pruning_fixture import BLOCK, COLS, DAMPING, ROWS, layer
from safetensors.numpy import save_file


def thanos(share: float) -> np.ndarray:
    weights, inputs = layer()
    w = weights.copy()
    hessian = 2 * inputs.T @ inputs
    hessian += DAMPING * np.mean(np.diag(hessian)) * np.eye(COLS)
    norms = np.linalg.norm(inputs, axis=0)
    gone = 0
    for a in range(0, COLS, BLOCK):
        score = np.abs(w[:, a:]) * norms[a:]
        mask = np.zeros(score.size, dtype=bool)
        mask[np.argsort(score, axis=None, kind="stable")[: int(share * ROWS * COLS) - gone]] = True
        mask = mask.reshape(score.shape)
        mask[:, BLOCK:] = False
        gone += mask.sum()
        inverse = np.linalg.inv(hessian[a:, a:])
        for row, removed in zip(w, mask):
            p = np.flatnonzero(removed)
            row[a:] -= np.linalg.solve(inverse[np.ix_(p, p)], row[a + p]) @ inverse[p]
            row[a + p] = 0.0
    return w.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests/fixtures/pruning")
    out = parser.parse_args().out
    save_file({"half": thanos(0.5)}, out / "thanos.safetensors")


if __name__ == "__main__":
    main()
