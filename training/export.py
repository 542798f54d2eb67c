"""Write a checkpoint as a Hugging Face directory and check the written files against transformers.

usage: python export.py CKPT OUT --tokenizer /tmp/whittle-train/lmdata/tokenizer.json
       python export.py CKPT OUT --task copy       (word-level tokenizer of a task: recall or copy)
       python export.py --check CKPT OUT           (compare only)

Prints the largest logit differences and fails above 1e-3 of the largest logit. OUT/training.json keeps step, tokens and seconds for the card.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
import transformers

from hf_export import compare, read_checkpoint, save
from task import word_tokenizer
from train_task import TASKS

TOLERANCE = 1e-3  # of the largest logit: float32 rounding is near 1e-5, a wrong layout near 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--task", choices=list(TASKS))
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, counters = read_checkpoint(args.checkpoint)
    if not args.check:
        if bool(args.tokenizer) == bool(args.task):
            parser.error("give one of --tokenizer and --task")
        save(model, args.out)
        if args.task:
            word_tokenizer(TASKS[args.task].words).save(str(args.out / "tokenizer.json"))
        else:
            shutil.copy(args.tokenizer, args.out / "tokenizer.json")
        (args.out / "training.json").write_text(json.dumps(counters) + "\n")
    found = compare(model, args.out)
    print(args.out, counters, {k: float(f"{v:.2g}") for k, v in found.items()})
    if found["ours_vs_hf"] > TOLERANCE * found["largest_logit"]:
        raise SystemExit("transformers computes other logits than the training code: the export is wrong")


if __name__ == "__main__":
    main()
