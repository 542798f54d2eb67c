"""Score a text with the official transformers class: the same JSON as `whittle score`, for comparing side by side.

usage: python hf_score.py MODEL_DIR (TEXT | --file FILE | --ids 1,2,3) [--max-tokens N] [--no-bos]

Prints {"ids": [N], "nll": [N-1], "mean_nll"}: nll[i] = -log p(ids[i+1] | ids up to i) in nats, from float32 logits on the CPU with the
softmax in float64. config.json's bos_token_id is put before the text unless --no-bos is given or the text begins with it.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer


def load(model_dir: Path):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    return model.eval()


def encode(model_dir: Path, text: str, bos: int | None) -> list[int]:
    ids = Tokenizer.from_file(str(model_dir / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    return ids if bos is None or ids[:1] == [bos] else [bos, *ids]


@torch.no_grad()
def nll(model, ids: list[int]) -> list[float]:
    x = torch.tensor([ids])
    logp = torch.log_softmax(model(x, use_cache=False).logits[0, :-1].double(), -1)
    return (-logp.gather(1, x[0, 1:, None])[:, 0]).tolist()


def score(model, ids: list[int]) -> dict:
    values = nll(model, ids)
    rounded = [float(f"{v:.9g}") for v in values]
    return dict(ids=ids, nll=rounded, mean_nll=sum(values) / len(values) if values else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", nargs="?")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--ids")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--no-bos", action="store_true")
    args = parser.parse_args()
    if [args.text, args.file, args.ids].count(None) != 2:
        parser.error("give one of TEXT, --file and --ids")
    torch.set_num_threads(1)
    model = load(args.model)
    if args.ids:
        ids = [int(i) for i in args.ids.split(",")]
    else:
        text = args.text if args.file is None else args.file.read_text()
        ids = encode(args.model, text, None if args.no_bos else model.config.bos_token_id)
    json.dump(score(model, ids[: args.max_tokens]), sys.stdout)
    print()


if __name__ == "__main__":
    main()
