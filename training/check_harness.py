"""Whittle against lm_eval's Hugging Face class on the fixtures of tests/fixtures/harness, with a model of your own.

usage: python training/check_harness.py MODEL_DIR [--program whittle] [--tasks hellaswag,piqa,...] [--keep FILE] [--double]

Both doors of a dense model are compared: our scorer (`whittle run --items`) and the adapter (`whittle_lm_eval`). Every
log-likelihood has to agree to 1e-3 (of a document: to 1e-6 of itself, if that is more), every decision exactly, and every
figure to half of the fourth place that lm_eval prints (of a large one: to 1e-6 of itself). Prints a table in lm_eval's columns; the exit code is 1 where something differs.
With --keep, what Hugging Face's class said is kept in FILE and read from there the next time. With --double it computes
in float64, which tells whose rounding a difference is (a FILE of its own).
Needs torch, transformers, lm_eval 0.4.13 and `pip install ./python`.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from make_harness_fixtures import OUT, TASKS, answers, load
from whittle_lm_eval import WhittleLM

NAMES = {
    "accuracy": ("acc", "↑"),
    "accuracy_by_length": ("acc_norm", "↑"),
    "perplexity": ("perplexity", "↓"),
    "word_perplexity": ("word_perplexity", "↓"),
    "byte_perplexity": ("byte_perplexity", "↓"),
    "bits_per_byte": ("bits_per_byte", "↓"),
}


def own_scorer(program, model, task):
    """The same from `whittle run`."""
    with tempfile.TemporaryDirectory() as folder:
        items = Path(folder) / "items.jsonl"
        command = [program, "run", "--model", model, "--eval", f"{task}:n=2000", "--data", str(OUT / f"{task}.jsonl")]
        command += ["--items", str(items), "--json", "--backend", "cpu", "--tokens", "1"]
        view = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        found = []
        for line in items.read_text().splitlines():
            score = json.loads(line)["baseline"]
            nats = score["nats"] if score["kind"] == "choice" else [score["nats"]]
            right = score["chosen"] == score["label"] if score["kind"] == "choice" else score.get("right")
            found.append(dict(log_likelihoods=[-x for x in nats], right=right))
    figures = {q["metric"]: q["baseline"]["value"] for q in view["quality"]}
    return dict(items=found, figures=figures)


def differences(task, expected, found, door):
    """Sentences, and the largest difference of a log-likelihood."""
    largest, said = 0.0, []
    for i, (a, b) in enumerate(zip(expected["items"], found["items"], strict=True)):
        for x, y in zip(a["log_likelihoods"], b["log_likelihoods"], strict=True):
            largest = max(largest, abs(x - y))
            if abs(x - y) > max(1e-3, 1e-6 * abs(x) if task == "wikitext" else 0.0):
                said.append(f"{task}, item {i}, {door}: log-likelihood {y}, expected {x}")
        if a["right"] != b["right"]:
            said.append(f"{task}, item {i}, {door}: decision {b['right']}, expected {a['right']}")
    for metric, value in expected["figures"].items():
        if not math.isclose(value, found["figures"][metric], abs_tol=5e-5, rel_tol=1e-6):
            said.append(f"{task}, {metric}, {door}: {found['figures'][metric]}, expected {value}")
    return said, largest


def shown(value):
    return f"{value:.4f}"


def error(metric, value, n):
    """lm_eval's standard error of a share; other figures have none here."""
    return shown(math.sqrt(value * (1 - value) / (n - 1))) if metric.startswith("accuracy") else "N/A"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default="whittle")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--double", action="store_true")
    args = parser.parse_args()
    kept = json.loads(args.keep.read_text()) if args.keep and args.keep.exists() else {}
    harness, adapter = None, WhittleLM(args.model, program=args.program)
    said = []
    print("|Tasks|Version|Filter|n-shot|Metric| |Value| |Stderr|largest difference: scorer, adapter|")
    print("|---|---|---|---:|---|---|---:|---|---:|---|")
    for task in args.tasks.split(","):
        data = [json.loads(line) for line in (OUT / f"{task}.jsonl").read_text().splitlines()]
        if task not in kept:
            harness = harness or load(Path(args.model), torch.float64 if args.double else torch.float32)
            kept[task] = answers(harness, task, data)
            if args.keep:
                args.keep.write_text(json.dumps(kept))
        doors = {"scorer": own_scorer(args.program, args.model, task), "adapter": answers(adapter, task, data)}
        found = [differences(task, kept[task], doors[door], door) for door in doors]
        said += [line for lines, _ in found for line in lines]
        largest = ", ".join(f"{x:.1e}" for _, x in found)
        for metric, value in kept[task]["figures"].items():
            name, arrow = NAMES[metric]
            cells = [task, "whittle fixture", "none", "0", name, arrow, shown(value), "±", error(metric, value, len(data)), largest]
            print(f"|{'|'.join(cells)}|", flush=True)
    print(*said, sep="\n", file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
