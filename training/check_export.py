"""Check that transformers loads what `whittle prune` wrote, and scores a text as `whittle score` does.

usage: python check_export.py DIR [--whittle ../target/fast/whittle]
"""

import argparse
import json
import subprocess
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

TEXT = "It was a truth that nobody in the house would own, and the whole of the family knew it before the winter was over."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--whittle", type=Path, default=Path(__file__).resolve().parent.parent / "target/fast/whittle")
    args = parser.parse_args()
    text = args.model / "check.txt"
    text.write_text(TEXT)
    scored = json.loads(subprocess.run([args.whittle, "score", "--model", args.model, "--text", text, "--backend", "cpu", "--json"], check=True, capture_output=True).stdout)
    text.unlink()
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    ids = torch.tensor([PreTrainedTokenizerFast(tokenizer_file=str(args.model / "tokenizer.json")).encode(TEXT)])
    with torch.no_grad():
        logits = model(ids).logits[0, :-1].log_softmax(-1)
    theirs = -logits.gather(1, ids[0, 1:, None])[:, 0]
    ours = torch.tensor(scored["nll"])
    print(f"{args.model}: {len(theirs)} tokens, largest difference {(theirs - ours).abs().max():.1e} nats, mean {theirs.mean():.4f} nats")
    if not torch.allclose(theirs, ours, atol=1e-4):
        raise SystemExit("differs by more than 1e-4")


if __name__ == "__main__":
    main()
