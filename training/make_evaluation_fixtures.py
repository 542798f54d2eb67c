"""Makes tests/fixtures/evaluations/expected.json: log-likelihoods of a few items of each evaluation, from transformers.

Needs torch, tokenizers and transformers. Contexts, continuations and windows are cut here once more from the definitions
that the evaluations give of themselves, and each pair is one unbroken forward pass, in float32 on the CPU. The tasks of
papers have their own fixtures (make_harness_fixtures.py).

    python training/make_evaluation_fixtures.py
"""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/fixtures/evaluations/expected.json"
LINES = 3  # of a file of items; the first ones

QUESTIONS = [
    dict(context="It was a fine", choices=["morning", "shoe and a half", "of"], answer=0),
    dict(context="Naïve café – \n “quoted”", choices=["naïve", "日本"], answer=1),
    dict(context="She looked at him and said", target="nothing at all"),
]


class Side:
    def __init__(self, name):
        folder = ROOT / "models" / name
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        bos = self.config.get("bos_token_id")
        self.begin = self.config["eos_token_id"] if bos is None else bos

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    @torch.no_grad()
    def log_likelihood(self, context, continuation):
        ids = torch.tensor([context + continuation])
        logits = self.model(ids, use_cache=False).logits[0, len(context) - 1 : -1].double()
        logp = torch.log_softmax(logits, -1).gather(1, torch.tensor(continuation)[:, None])
        return round(logp.sum().item(), 5)


def head(path, size):
    """The beginning of a text of at most so many bytes."""
    return (ROOT / "models/eval" / path).read_bytes()[:size].decode(errors="ignore")


def lines(name):
    text = (ROOT / "models/eval" / name).read_text().splitlines(keepends=True)[:LINES]
    return "".join(text), [json.loads(line) for line in text]


def continuation(side):
    data, rows = lines("continuation.jsonl")
    items = []
    for row in rows:
        context = side.ids(row["context"])[-400:]
        choices = [side.ids(choice) for choice in row["choices"]]
        items.append(dict(log_likelihoods=[side.log_likelihood(context, c) for c in choices],
                          prior=[side.log_likelihood([side.begin], c) for c in choices]))
    return "continuation", data, items


def cloze(side):
    data, rows = lines("cloze.jsonl")
    items = []
    for row in rows:
        context, target = side.ids(row["context"])[-440:], side.ids(" " + row["target"])
        items.append(dict(log_likelihoods=[side.log_likelihood(context, target)]))
    return "cloze", data, items


def queries(task, level):
    def make(side):
        data, rows = lines(f"{task}_{level}.jsonl")
        items = []
        for row in rows:
            context, answer = side.ids(row["context"]) + side.ids(row["query"]), side.ids(row["answer"])
            items.append(dict(log_likelihoods=[side.log_likelihood(context, answer)]))
        return f"{task}:level={level}", data, items

    return make


def text(side):
    windows, context, target = 3, 64, 32
    data = head("heldout/persuasion.txt", 6000)
    ids = side.ids(data)
    step = (len(ids) - context - target) // windows
    items = []
    for i in range(windows):
        window = ids[i * step : i * step + context + target]
        before, scored = window[:context], window[context:]
        items.append(dict(log_likelihoods=[side.log_likelihood(before, scored)],
                          prior=[side.log_likelihood([side.begin], scored)]))
    return f"text:windows={windows},context={context},target={target},work=persuasion", data, items


def rolling(side):
    window, stride = 96, 40
    data = head("heldout/opticks.txt", 1200)
    ids = side.ids(data)
    places = [(0, 1, window)]
    while places[-1][2] + stride <= len(ids):
        end = places[-1][2] + stride
        places.append((end - window, end - stride, end))
    items = [dict(log_likelihoods=[side.log_likelihood(ids[a:b], ids[b:c])]) for a, b, c in places]
    return f"rolling:window={window},stride={stride}", data, items


def wikitext2(side):
    data = head("heldout/opticks.txt", 12_000)
    rows = [line + "\n" if line.strip() else "" for line in data.split("\n")[: data.count("\n") + (not data.endswith("\n"))]]
    ids = side.ids("\n\n".join(rows))
    pieces = [ids[i : i + 2048] for i in range(0, len(ids) // 2048 * 2048, 2048)]
    items = [dict(log_likelihoods=[side.log_likelihood(piece[:1], piece[1:])]) for piece in pieces]
    return "wikitext2-2048", data, items


def questions(side):
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in QUESTIONS)
    items = []
    for row in QUESTIONS:
        context, after = side.ids(row["context"]), row.get("choices") or [row["target"]]
        # Encoded together; what lies behind the context's own tokens is scored.
        whole = [side.ids(f"{row['context']} {choice}")[len(context) :] for choice in after]
        items.append(dict(log_likelihoods=[side.log_likelihood(context, tokens) for tokens in whole]))
    return "questions", data, items


CASES = [
    ("lm-mamba2", continuation), ("lm-llama", cloze), ("recall-mamba2", queries("recall", "hard")),
    ("copy-llama", queries("copy", "medium")), ("copy-mamba", queries("induction", "medium")),
    ("lm-mamba", text), ("lm-llama", rolling), ("lm-mamba2", wikitext2), ("lm-mamba", questions),
]


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    out = []
    for name, make in CASES:
        spec, data, items = make(Side(name))
        print(name, spec, items[0])
        out.append(dict(model=name, eval=spec, data=data, items=items))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
