"""Write SMOLLM2/expected.json: what transformers makes of about 200 tokens of each of three held-out texts.

usage: python make_smollm2_expected.py [--model /tmp/smollm2] [--heldout /work/shared/models/eval/heldout]

Form: {"source", "cases": [{"name", "text", "ids", "nll"}]}; ids are BOS and the first ids of the text, 200 at most. Not committed: tested when the
model is there.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers

from hf_score import encode, load, nll

TOKENS = 200
TEXTS = ("northanger_abbey", "state_of_the_union", "opticks")
SKIP_CHARACTERS = 3000  # past title and dedication


def passage(path: Path) -> str:
    text = path.read_text()[SKIP_CHARACTERS:]
    return text[text.index("\n") + 1 :][:1000]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("/tmp/smollm2"))
    parser.add_argument("--heldout", type=Path, default=Path("/work/shared/models/eval/heldout"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load(args.model)
    cases = []
    for name in TEXTS:
        text = passage(args.heldout / f"{name}.txt")
        ids = encode(args.model, text, model.config.bos_token_id)[:TOKENS]
        values = [float(f"{v:.9g}") for v in nll(model, ids)]
        cases.append(dict(name=name, text=text, ids=ids, nll=values))
        print(f"{name:20s} {len(ids)} tokens, mean nll {sum(values) / len(values):.4f}")
    source = f"transformers {transformers.__version__} LlamaForCausalLM, torch {torch.__version__.split('+')[0]}, CPU, float32"
    (args.model / "expected.json").write_text(json.dumps(dict(source=source, cases=cases)) + "\n")


if __name__ == "__main__":
    main()
