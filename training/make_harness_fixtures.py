"""Makes tests/fixtures/harness: items in the layouts of public tasks, and what PyPI lm_eval says of them.

Needs torch, transformers and lm_eval (0.4.13). The model is the bundled lm-llama, in float32 on the CPU;
training/check_harness.py asks the same of another model.

    python training/make_harness_fixtures.py
"""

import json
import math
import random
from pathlib import Path

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks.hellaswag.utils import preprocess
from lm_eval.tasks.wikitext.preprocess_wikitext import process_results, wikitext_detokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/fixtures/harness"
MODEL = ROOT / "models/lm-llama"
N = 40  # items a task, the odd ones first
TASKS = ["hellaswag", "piqa", "arc-easy", "winogrande", "lambada", "wikitext"]

WORDS = (
    "the house stood upon a hill and every window looked over the river where the boats went by in the "
    "morning when the mist had gone and nobody spoke of the night before"
).split()
ODD = ["naïve café, 3 °C", "two  spaces and  more", "日本語の文", "“quoted” — dashes…", "A", "tab\tand\nnew line"]


def sentence(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def texts(rng, i):
    """A context and four different choices; the first items are odd ones."""
    context = sentence(rng, 6, 20).capitalize()
    choices = [sentence(rng, 2, 7) for _ in range(4)]
    if i < len(ODD):
        context = f"{context} {ODD[i]}"
        choices[1] = ODD[(i + 1) % len(ODD)].strip()
    if i == 6:
        choices = ["a", "b", "c", "d"]
    if i == 7:
        context = sentence(rng, 900, 900)  # longer than the model's positions
    if i == 8:
        choices[2] = choices[0]  # a tie
    if i == 10:
        choices[0] = ""  # an empty continuation
    return context, choices


def page(rng, i, context, choices):
    """A document with the corpus's spaces around punctuation."""
    if i == 9:
        return "word"
    parts = [f" = {choices[1]} = \n\n {context} ( {choices[2]} ) , 1 @,@ 000 @-@ {choices[3]} . \n"]
    parts += [f" = = {choices[0]} = = \n\n \" {sentence(rng, 5, 30)} \" ; [ N ] the dogs ' bone 's {sentence(rng, 3, 9)} ! \n"]
    parts += [f" {{ {sentence(rng, 2, 4)}  }} : 5 \u00b0 ? it 's ' {choices[2]} ' s ' /' 7/ {sentence(rng, 40, 90)} . \n"]
    return "".join(parts)


def rows(task):
    rng = random.Random(task)
    out = []
    for i in range(N):
        context, choices = texts(rng, i)
        label = rng.randrange(4)
        if task == "hellaswag":
            row = dict(activity_label="Walking [title] slowly", ctx_a=context, ctx_b=sentence(rng, 2, 4) + " [step] Up",
                       endings=[c + " [title] then" for c in choices], label=str(label))
        elif task == "piqa":
            row = dict(goal=context, sol1=choices[0], sol2=choices[1], label=label % 2)
        elif task == "arc-easy":
            keys = list("ABCD") if i % 2 else list("1234")
            n = 3 if i == 9 else 4
            row = dict(id=str(i), question=context, choices=dict(text=choices[:n], label=keys[:n]), answerKey=keys[label % n])
        elif task == "winogrande":
            row = dict(sentence=f"{context} because the _ was {choices[0]}.", option1=choices[1], option2=choices[2],
                       answer=str(label % 2 + 1))
        elif task == "wikitext":
            row = dict(page=page(rng, i, context, choices))
        else:
            row = dict(text="word" if i == 9 else f"{context} {choices[0]}")
        out.append(row)
    return out


def pairs(task, row):
    """Requests, lengths of the choices, and the label, as the task files of lm_eval 0.4.13 have them."""
    if task == "hellaswag":
        context = preprocess(row["activity_label"] + ": " + row["ctx_a"] + " " + row["ctx_b"].capitalize())
        choices = [preprocess(e) for e in row["endings"]]
        return [(context, " " + c) for c in choices], choices, int(row["label"])
    if task == "piqa":
        choices = [row["sol1"], row["sol2"]]
        return [(f"Question: {row['goal']}\nAnswer:", " " + c) for c in choices], choices, row["label"]
    if task == "arc-easy":
        choices = row["choices"]["text"]
        label = row["choices"]["label"].index(row["answerKey"])
        return [(f"Question: {row['question']}\nAnswer:", " " + c) for c in choices], choices, label
    if task == "winogrande":
        at = row["sentence"].index("_")
        choices = [row["sentence"][:at] + row[o] for o in ("option1", "option2")]
        rest = row["sentence"][at + 1 :].strip()
        return [(c, " " + rest) for c in choices], choices, {"1": 0, "2": 1}[row["answer"]]
    words = row["text"].split(" ")
    return [(" ".join(words[:-1]), " " + words[-1])], [words[-1]], 0


def load(folder, dtype=torch.float32):
    """lm_eval's Hugging Face class over a model in a folder."""
    if (folder / "tokenizer_config.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    else:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        config = json.loads((folder / "config.json").read_text())
        first = config.get("bos_token_id")
        if first is None:
            first = config["eos_token_id"]
        tokenizer.bos_token = tokenizer.convert_ids_to_tokens(first)
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(config["eos_token_id"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)


def documents(harness, data):
    """What a class of lm_eval says of documents: log-likelihoods, and the figures of its task wikitext."""
    instances = [Instance("loglikelihood_rolling", row, (wikitext_detokenizer(row),), i) for i, row in enumerate(data)]
    likelihoods = harness.loglikelihood_rolling(instances, disable_tqdm=True)
    items = [dict(log_likelihoods=[round(float(x), 5)], right=None) for x in likelihoods]
    weights = [process_results(row, [0.0]) for row in data]
    words = sum(w["word_perplexity"][1] for w in weights)
    size = sum(w["byte_perplexity"][1] for w in weights)
    nats = -sum(likelihoods)
    figures = dict(
        word_perplexity=math.exp(nats / words), byte_perplexity=math.exp(nats / size), bits_per_byte=nats / size / math.log(2)
    )
    return dict(items=items, figures=figures)


def answers(harness, task, data):
    """What a class of lm_eval says of rows: log-likelihoods and decisions item by item, and the figures of the task."""
    if task == "wikitext":
        return documents(harness, data)
    items, sums = [], {"accuracy": [], "accuracy_by_length": [], "nats": []}
    for row in data:
        requests, choices, label = pairs(task, row)
        instances = [Instance("loglikelihood", row, r, i) for i, r in enumerate(requests)]
        found = harness.loglikelihood(instances, disable_tqdm=True)
        likelihoods = np.array([a[0] for a in found])
        lengths = np.array([float(len(c)) for c in choices])
        right = float(found[0][1]) if task == "lambada" else float(np.argmax(likelihoods) == label)
        sums["accuracy"].append(right)
        with np.errstate(divide="ignore"):
            sums["accuracy_by_length"].append(float(np.argmax(likelihoods / lengths) == label))
        sums["nats"].append(-likelihoods[label])
        items.append(dict(log_likelihoods=[round(float(x), 5) for x in likelihoods], right=bool(right)))
    figures = dict(accuracy=float(np.mean(sums["accuracy"])))
    if task == "lambada":
        figures["perplexity"] = math.exp(float(np.mean(sums["nats"])))
    elif task != "winogrande":
        figures["accuracy_by_length"] = float(np.mean(sums["accuracy_by_length"]))
    return dict(items=items, figures=figures)


def main():
    harness = load(MODEL)
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {}
    for task in TASKS:
        data = rows(task)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in data)
        (OUT / f"{task}.jsonl").write_text(text, encoding="utf-8")
        expected[task] = answers(harness, task, data)
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
