"""Prune a small random model of every family, and check each export as check_export.py does: transformers loads it and
scores a text as `whittle score` does.

The shapes are those of tests/fixtures/models, with a row for every byte in the vocabulary; `whittle` makes the weights.

usage: python check_exports.py [--whittle ../target/fast/whittle] [FAMILY...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Fixture, pruning SPECs, and more arguments of `whittle prune`.
CASES = {
    "qwen2-f32": ["wanda", "structured:share=0.25", "structured:unit=layers,share=0.5"],
    "qwen3-bf16": ["wanda", "structured:unit=heads,share=0.5"],
    "mistral-f16": ["wanda:pattern=2:4", "structured:share=0.25"],
    "smollm3-f32": ["wanda", "structured:share=0.25"],
    "gpt2-f32": ["sparsegpt", "structured:share=0.25", "structured:unit=layers,share=0.5"],
    "opt-f32": ["sparsegpt", "structured:share=0.25"],
    "falcon-f32": ["wanda", "structured:share=0.25"],
    "granite-f32-rope": ["wanda"],
    "mamba-original": ["wanda --form hf", "structured:share=0.25 --form hf", "structured:unit=layers,share=0.5 --form hf"],
    "mamba2-original": ["wanda --form hf", "structured:unit=states,share=0.5 --form hf"],
}
ROWS = 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whittle", type=Path, default=ROOT / "target/fast/whittle")
    parser.add_argument("families", nargs="*", default=list(CASES))
    args = parser.parse_args()
    failed = []
    for family in args.families:
        for number, case in enumerate(CASES[family]):
            spec, *form = case.split(" ")
            with tempfile.TemporaryDirectory() as folder:
                config = json.loads((ROOT / "tests/fixtures/models" / family / "config.json").read_text())
                config["vocab_size"] = ROWS
                source, out = Path(folder) / "config.json", Path(folder) / f"{family}-{number}"
                source.write_text(json.dumps(config))
                prune = [args.whittle, "prune", "--model", f"shape:{source}", "--prune", spec, *form, "--backend", "cpu", "--out", out]
                done = subprocess.run(prune, capture_output=True, text=True)
                if done.returncode == 0:
                    check = [sys.executable, ROOT / "training/check_export.py", out, "--whittle", args.whittle]
                    done = subprocess.run(check, capture_output=True, text=True)
                last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]
                print(f"{family} {case}: {last.split(': ', 1)[-1]}", flush=True)
                failed += [f"{family} {case}"] * (done.returncode != 0)
    if failed:
        raise SystemExit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
