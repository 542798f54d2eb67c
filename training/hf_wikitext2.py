"""Perplexity of WikiText-2's raw test split in pieces of 2048 tokens, as the papers on pruning take it, by transformers.

usage: python hf_wikitext2.py MODEL_DIR wiki.test.raw --out FILE [--pieces N] [--device cuda]

FILE gets one JSON line for each piece, {"piece", "nats", "tokens"}; what is there is not computed again. Prints
{"perplexity", "pieces", "of", "tokens", "data_sha256", "torch", "transformers", "device"}. Float32 (no TF32), on one thread of the CPU
or on a card; the softmax in float64.
"""

import argparse
import hashlib
import json
import math
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer

from hf_score import load

PIECE = 2048


def text_of(data: bytes) -> str:
    """The rows of the hub joined by two line breaks: a line of the file keeps its break, one of white space is empty."""
    lines = data.decode().split("\n")
    if lines[-1] == "":
        lines.pop()
    return "\n\n".join(line + "\n" if line.strip() else "" for line in lines)


@torch.no_grad()
def nats(model, ids: list[int]) -> float:
    x = torch.tensor([ids], device=model.device)
    hidden = model.model(x, use_cache=False).last_hidden_state[0, :-1]
    total = 0.0
    for rows, targets in zip(hidden.split(256), x[0, 1:].split(256), strict=True):
        logp = torch.log_softmax(model.lm_head(rows).double(), -1)
        total -= logp.gather(1, targets[:, None]).sum().item()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pieces", type=int, help="stop after so many")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = args.text.read_bytes()
    ids = AutoTokenizer.from_pretrained(args.model)(text_of(data))["input_ids"]
    pieces = len(ids) // PIECE
    found = {}
    if args.out.exists():
        found = {line["piece"]: line for line in map(json.loads, args.out.read_text().splitlines())}
    model = load(args.model).to(args.device)
    for piece in range(min(pieces, args.pieces or pieces)):
        if piece in found:
            continue
        line = dict(piece=piece, nats=nats(model, ids[piece * PIECE : (piece + 1) * PIECE]), tokens=PIECE - 1)
        found[piece] = line
        with open(args.out, "a") as file:
            print(json.dumps(line), file=file)
    tokens = sum(line["tokens"] for line in found.values())
    perplexity = math.exp(sum(line["nats"] for line in found.values()) / tokens)
    sha = hashlib.sha256(data).hexdigest()
    device = torch.cuda.get_device_name() if args.device == "cuda" else args.device
    about = dict(torch=torch.__version__, transformers=transformers.__version__, device=device)
    print(json.dumps(dict(perplexity=perplexity, pieces=len(found), of=pieces, tokens=tokens, data_sha256=sha, **about)))


if __name__ == "__main__":
    main()
