"""Reference figures of an exported model: the definitions of `whittle run`, computed by the training code on the stored float16 weights.

usage: python evaluate.py MODEL_DIR [--magnitude 0.5] [--eval ../models/eval]

export.py checks that transformers gives the same logits. cards.py sets these figures beside those of `whittle run`. Prints JSON. With
--magnitude the smallest weights of every output row are zeroed first, in all matrices of the blocks but dt_proj.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from lm import LanguageModel, build

WINDOWS, CONTEXT, SCORED = 8, 256, 64  # cases.TEXT
END_OF_TEXT = 0
LN_2 = math.log(2)


def load(path: Path) -> LanguageModel:
    c = json.loads((path / "config.json").read_text())
    shape = dict(kind=c["model_type"], vocab_size=c["vocab_size"], d_model=c["hidden_size"], n_layer=c["num_hidden_layers"])
    if shape["kind"] == "mamba":
        shape |= dict(d_state=c["state_size"], dt_rank=c["time_step_rank"])
    elif shape["kind"] == "mamba2":
        shape |= dict(d_state=c["state_size"], headdim=c["head_dim"], chunk_size=c["chunk_size"])
    else:
        shape |= dict(n_head=c["num_attention_heads"], n_kv_head=c["num_key_value_heads"], d_ff=c["intermediate_size"])
    model = build(shape)
    model.load_state_dict({k: v.float() for k, v in load_file(path / "model.safetensors").items()})
    return model.eval()


@torch.no_grad()
def prune_by_magnitude(model: LanguageModel, sparsity: float) -> None:
    """Per output row; equal weights go in the order of their columns."""
    for name, weight in model.named_parameters():
        if ".layers." in name and weight.ndim == 2 and not any(skip in name for skip in ("A_log", "dt_proj")):
            removed = weight.abs().sort(dim=1, stable=True).indices[:, : round(weight.shape[1] * sparsity)]
            weight.scatter_(1, removed, 0.0)


def jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def losses(model, ids: torch.Tensor) -> torch.Tensor:
    """-log p of each token but the first, [rows, length - 1], nats."""
    parts = []
    for rows in ids.split(8):
        logits = model(rows[:, :-1])
        parts.append(F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none"))
    return torch.cat(parts)


def text(model, tokenizer: Tokenizer, works: list[Path]) -> dict:
    """Windows spread evenly over each work; the first tokens are the context, the others are scored."""
    length = CONTEXT + SCORED
    nats = bare_nats = size = tokens = 0.0
    for work in works:
        content = work.read_text()
        ids = torch.tensor(tokenizer.encode(content).ids)
        n = max(1, min(WINDOWS, (len(ids) - 1) // (length - 1)))
        step = (len(ids) - length) // n
        x = torch.stack([ids[i * step : i * step + length] for i in range(n)])
        bare = torch.cat([torch.full((n, 1), END_OF_TEXT), x[:, CONTEXT:]], 1)
        nats += losses(model, x)[:, CONTEXT - 1 :].sum().item()
        bare_nats += losses(model, bare).sum().item()
        tokens += n * SCORED
        size += n * SCORED * len(content.encode()) / len(ids)
    return dict(perplexity=math.exp(nats / tokens), bits_per_byte=nats / LN_2 / size, context_benefit_nats=(bare_nats - nats) / tokens)


def cloze(model, tokenizer: Tokenizer, items: list[dict]) -> dict:
    """The last word of a sentence: bits of the target, and how often greedy choice spells it."""
    bits = hits = 0.0
    for item in items:
        context = tokenizer.encode(item["context"]).ids[-440:]
        target = torch.tensor(tokenizer.encode(" " + item["target"]).ids)
        logits = model(torch.tensor([context + target[:-1].tolist()]))[0, len(context) - 1 :]
        bits += F.cross_entropy(logits, target, reduction="sum").item() / LN_2
        hits += bool((logits.argmax(-1) == target).all())
    return dict(bits_per_target=bits / len(items), accuracy=hits / len(items))


def choice_scores(model, context: list[int], choices: list[list[int]]) -> torch.Tensor:
    """log p(choice | context) for each choice."""
    length = max(map(len, choices))
    rows = torch.tensor([context + c + [END_OF_TEXT] * (length - len(c)) for c in choices])
    nll = losses(model, rows)[:, len(context) - 1 :]
    return torch.stack([-row[: len(c)].sum() for row, c in zip(nll, choices)])


def continuation(model, tokenizer: Tokenizer, items: list[dict]) -> dict:
    """The largest log p(choice | context) - log p(choice | <|endoftext|>) wins."""
    hits = 0
    bits = size = 0.0
    for item in items:
        context = tokenizer.encode(item["context"]).ids[-400:]
        choices = [tokenizer.encode(c).ids for c in item["choices"]]
        given = choice_scores(model, context, choices)
        hits += int((given - choice_scores(model, [END_OF_TEXT], choices)).argmax()) == item["label"]
        bits -= given[item["label"]].item() / LN_2
        size += len(item["choices"][item["label"]])
    return dict(accuracy=hits / len(items), bits_per_byte=bits / size)


def task(model, tokenizer: Tokenizer, items: list[dict]) -> dict:
    """Right where every token of the answer is the most likely one after the right ones before it."""
    ids = torch.tensor([tokenizer.encode(" ".join((i["context"], i["query"], i["answer"]))).ids for i in items])
    n = len(items[0]["answer"].split())
    guesses = torch.cat([model(rows[:, :-1])[:, -n:].argmax(-1) for rows in ids.split(100)])
    return dict(accuracy=(guesses == ids[:, -n:]).all(1).float().mean().item())


@torch.no_grad()
def measure(path: Path, data: Path, evaluations: list[str], magnitude: float = 0.0) -> dict[str, dict]:
    """Evaluation SPEC -> metric -> figure."""
    torch.set_num_threads(1)
    model, tokenizer = load(path), Tokenizer.from_file(str(path / "tokenizer.json"))
    if magnitude:
        prune_by_magnitude(model, magnitude)
    out = {}
    for spec in evaluations:
        name, _, knobs = spec.partition(":")
        if name == "text":
            out[spec] = text(model, tokenizer, sorted((data / "heldout").glob("*.txt")))
        elif name in ("cloze", "continuation"):
            out[spec] = {"cloze": cloze, "continuation": continuation}[name](model, tokenizer, jsonl(data / f"{name}.jsonl"))
        else:
            level = knobs.split(",")[0].removeprefix("level=")
            out[spec] = task(model, tokenizer, jsonl(data / f"{name}_{level}.jsonl"))
    return out


def main() -> None:
    from cases import dense_evaluations

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--eval", type=Path, default=Path(__file__).resolve().parent.parent / "models/eval")
    parser.add_argument("--magnitude", type=float, default=0.0)
    args = parser.parse_args()
    print(json.dumps(measure(args.model, args.eval, dense_evaluations(args.model.name), args.magnitude), indent=1))


if __name__ == "__main__":
    main()
