"""Print the table of docs/pruning.md: held-out perplexity of a bundled model under every pruning method.

usage: python pruning_table.py [--whittle ../target/fast/whittle] [--model lm-mamba2] [--eval SPEC] [--json FILE]

Runs `whittle run --json` once a cell; what is measured and how is that command's affair.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ["sparsity=0.5", "sparsity=0.6", "sparsity=0.7", "pattern=2:4"]
# label, SPEC without the pattern, whether it exists for the unstructured pattern
METHODS = [
    ("magnitude", "magnitude", True),
    ("Wanda", "wanda", True),
    ("RIA", "ria", True),
    ("SparseGPT (SS)", "sparsegpt", True),
    ("SparseGPT, dense inputs, block 32", "sparsegpt:inputs=dense,block=32", True),
    ("SparseGPT, mask M (MS)", "sparsegpt:mask=M", False),
    ("MRP SM, block 32", "mrp:block=32", True),
    ("MRP SM, block 64", "mrp:block=64", True),
    ("MRP SM, whole row", "mrp", True),
    ("MRP SM, whole row, dense inputs", "mrp:inputs=dense", True),
    ("MRP MM, whole row", "mrp:mask=M", False),
    ("magnitude + refit", "magnitude:refit=row,inputs=pruned", True),
    ("Wanda + refit", "wanda:refit=row,inputs=pruned", True),
    ("RIA + refit", "ria:refit=row,inputs=pruned", True),
]


def measure(args: argparse.Namespace, spec: str) -> dict:
    command = [args.whittle, "run", "--model", args.model, "--backend", "cpu", "--tokens", "1", "--json"]
    command += ["--eval", args.eval, "--prune", spec]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    view = json.loads(done.stdout)
    matrices = view["cost"]["matrices"]
    weights = [m["rows"] * m["cols"] for m in matrices]
    mean = lambda key: sum(w * m[key] for w, m in zip(weights, matrices)) / sum(weights)
    return {
        "spec": spec,
        "quality": {q["label"]: q for q in view["quality"]},
        "zeros": view["cost"]["sparsity"],
        "error": mean("error"),
        "held_out_error": mean("held_out_error"),
        "seconds": sum(m["milliseconds"] for m in matrices) / 1e3,
        "retries": sum(m["retries"] for m in matrices),
    }


def shown(cell: dict) -> str:
    """Perplexity, its paired change with 95 % interval, relative output error on the held-out calibration window."""
    quality = cell["quality"]["Perplexity"]
    change = quality["change"]
    return (
        f"{quality['compressed']['value']:.1f} ({change['value']:+.1f} [{change['low']:.1f}, {change['high']:.1f}]), "
        f"{cell['held_out_error']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whittle", default=str(ROOT / "target/fast/whittle"))
    parser.add_argument("--model", default="lm-mamba2")
    parser.add_argument("--eval", default="text:context=1,target=512,windows=8")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows, cells = [], []
    for label, base, unstructured in METHODS:
        row = [label]
        for pattern in PATTERNS:
            if pattern.startswith("sparsity") and not unstructured:
                row.append("")
                continue
            cell = measure(args, f"{base}{',' if ':' in base else ':'}{pattern}")
            cells.append(cell)
            row.append(shown(cell))
        rows.append(row)
        print(f"| {' | '.join(row)} |", flush=True)
    quality = cells[-1]["quality"]["Perplexity"]
    b = quality["baseline"]
    print(f"\ndense: {b['value']:.1f} [{b['low']:.1f}, {b['high']:.1f}], n = {quality['items']}")
    if args.json:
        args.json.write_text(json.dumps(cells, indent=1))


if __name__ == "__main__":
    main()
