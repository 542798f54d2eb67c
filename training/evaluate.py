"""Measure an exported model on the evaluation sets and write MODEL_DIR/measured.json and MODEL_DIR/card.md.

usage: python evaluate.py MODEL_DIR --eval /work/shared/models/eval [--log RUN/log.jsonl] [--windows 16]

Dense figures only: what compression does is measured by `whittle run`. Uses the training code on the exported weights (export.py checks that
transformers gives the same logits). Language models: held-out loss, context benefit, cloze, continuation. Recall models: accuracy a level.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from card import write_card
from lm import LanguageModel, build, count_parameters

WINDOW = 512
BENEFIT_CONTEXT, BENEFIT_SCORED = 256, 64
END_OF_TEXT = 0


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


def jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def spread(ids: np.ndarray, length: int, n: int) -> torch.Tensor:
    """n windows [n, length], evenly spread, the first at the start."""
    n = min(n, (len(ids) - 1) // length)
    stride = (len(ids) - length) // n
    return torch.from_numpy(np.stack([ids[i * stride :][:length] for i in range(n)]))


def losses(model, ids: torch.Tensor) -> torch.Tensor:
    """-log p of each token but the first, [rows, length - 1], nats."""
    parts = []
    for rows in ids.split(8):
        logits = model(rows[:, :-1])
        parts.append(F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none"))
    return torch.cat(parts)


def held_out(model, texts: dict[str, tuple[np.ndarray, float]], n: int) -> dict:
    """Windows of 512 predicted tokens, scored from the second token of a window on."""
    out, every = {}, []
    hits = 0
    for name, (ids, bytes_per_token) in texts.items():
        x = spread(ids, WINDOW + 1, n)
        nll = losses(model, x)
        hits += sum((model(r[:, :-1]).argmax(-1) == r[:, 1:]).sum().item() for r in x.split(8))
        every.append(nll.flatten())
        mean = nll.mean().item()
        out[name] = dict(loss=mean, perplexity=math.exp(mean), bits_per_byte=mean / math.log(2) / bytes_per_token)
    every = torch.cat(every)
    mean, error = every.mean().item(), every.std().item() / math.sqrt(len(every))
    out["all"] = dict(loss=mean, standard_error=error, perplexity=math.exp(mean), top1=hits / len(every), tokens=len(every))
    return out


def context_benefit(model, texts: dict, n: int) -> dict:
    """Nats a token that 256 tokens of context save on the next 64, against <|endoftext|> alone in their place."""
    saved = []
    for ids, _ in texts.values():
        x = spread(ids, BENEFIT_CONTEXT + BENEFIT_SCORED, n)
        bare = torch.cat([torch.full((len(x), 1), END_OF_TEXT), x[:, BENEFIT_CONTEXT:]], 1)
        saved.append((losses(model, bare) - losses(model, x)[:, BENEFIT_CONTEXT - 1 :]).flatten())
    saved = torch.cat(saved)
    return dict(nats=saved.mean().item(), standard_error=saved.std().item() / math.sqrt(len(saved)), tokens=len(saved))


def cloze(model, tokenizer: Tokenizer, items: list[dict]) -> dict:
    """The last word of a sentence: bits of the target, and how often greedy choice spells it."""
    bits, hits, context_hits, in_context = 0.0, 0, 0, 0
    for item in items:
        context = tokenizer.encode(item["context"]).ids[-440:]
        target = torch.tensor(tokenizer.encode(" " + item["target"]).ids)
        logits = model(torch.tensor([context + target[:-1].tolist()]))[0, len(context) - 1 :]
        bits += F.cross_entropy(logits, target, reduction="sum").item() / math.log(2)
        hit = bool((logits.argmax(-1) == target).all())
        hits += hit
        in_context += item["in_context"]
        context_hits += hit and item["in_context"]
    return dict(bits=bits / len(items), accuracy=hits / len(items), accuracy_in_context=context_hits / in_context, items=len(items), in_context=in_context)


def choice_scores(model, context: list[int], choices: list[list[int]]) -> torch.Tensor:
    """log p(choice | context) for each choice."""
    length = max(map(len, choices))
    rows = torch.tensor([context + c + [END_OF_TEXT] * (length - len(c)) for c in choices])
    nll = losses(model, rows)[:, len(context) - 1 :]
    return torch.stack([-row[: len(c)].sum() for row, c in zip(nll, choices)])


def continuation(model, tokenizer: Tokenizer, items: list[dict]) -> dict:
    """gain: the largest log p(choice | context) - log p(choice | <|endoftext|>) wins; plain: without the second term."""
    gain = plain = 0
    bits = size = 0.0
    for item in items:
        context = tokenizer.encode(item["context"]).ids[-400:]
        choices = [tokenizer.encode(c).ids for c in item["choices"]]
        given = choice_scores(model, context, choices)
        alone = choice_scores(model, [END_OF_TEXT], choices)
        gain += int((given - alone).argmax()) == item["label"]
        plain += int(given.argmax()) == item["label"]
        bits -= given[item["label"]].item() / math.log(2)
        size += len(item["choices"][item["label"]])
    n = len(items)
    return dict(gain=gain / n, plain=plain / n, bits_per_byte=bits / size, items=n)


def recall(model, tokenizer: Tokenizer, path: Path) -> dict:
    out = {}
    for file in sorted(path.glob("recall_*.jsonl")):
        items = jsonl(file)
        ids = torch.tensor([tokenizer.encode(i["context"] + " " + i["query"]).ids for i in items])
        answers = torch.tensor([tokenizer.token_to_id(i["answer"]) for i in items])
        guesses = torch.cat([model(rows)[:, -1].argmax(-1) for rows in ids.split(100)])
        out[file.stem.removeprefix("recall_")] = dict(accuracy=(guesses == answers).float().mean().item(), items=len(items))
    return out


def flatness(log: Path) -> dict:
    """How much the last fifth of the tokens improved the held-out loss, from the checks of train_lm.py."""
    checks = jsonl(log)
    first, last = checks[0]["tokens"], checks[-1]["tokens"]
    bend = min(checks, key=lambda c: abs(c["tokens"] - (last - (last - first) / 5)))
    return dict(tokens=last, loss=checks[-1]["mean"], loss_before_last_fifth=bend["mean"], improvement=1 - checks[-1]["mean"] / bend["mean"])


@torch.no_grad()
def measure(args) -> dict:
    model = load(args.model)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    result = dict(parameters=count_parameters(model), bytes=(args.model / "model.safetensors").stat().st_size)
    if model.shape["vocab_size"] < 256:
        return result | dict(recall=recall(model, tokenizer, args.eval))
    texts = {}
    for file in sorted((args.eval / "heldout").glob("*.txt")):
        text = file.read_text()
        ids = np.array(tokenizer.encode(text).ids, dtype=np.int64)
        texts[file.stem] = (ids, len(text.encode()) / len(ids))
    return result | dict(
        held_out=held_out(model, texts, args.windows),
        context_benefit=context_benefit(model, texts, 2 * args.windows),
        cloze=cloze(model, tokenizer, jsonl(args.eval / "cloze.jsonl")),
        continuation=continuation(model, tokenizer, jsonl(args.eval / "continuation.jsonl")),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--eval", type=Path, default=Path("/work/shared/models/eval"))
    parser.add_argument("--log", type=Path)
    parser.add_argument("--windows", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(args)
    if args.log:
        result["flatness"] = flatness(args.log)
    (args.model / "measured.json").write_text(json.dumps(result, indent=1) + "\n")
    print(write_card(args.model, result))


if __name__ == "__main__":
    main()
