"""Write the evaluation sets: from the held-out works, from the recall generator, and calibration text from the training side.

usage: python make_eval.py [--corpus /tmp/whittle-train/corpus] [--lmdata /tmp/whittle-train/lmdata] --out DIR [--seed 11]

cloze.jsonl         {id, source, paragraphs, context, target, in_context}: the last word of a sentence; the context ends before its space
continuation.jsonl  {id, source, paragraphs, context, choices[4], label}: the true next 12 words among those of three other passages of the work
recall_LEVEL.jsonl, copy_LEVEL.jsonl, induction_LEVEL.jsonl  {id, context, query, answer} (recall of up to 160 tokens: pairs, too)
recall_calibration.txt, copy_calibration.txt: one answered sequence a line
calibration.txt     training side only
Same seed, same files.
"""

import argparse
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from prep_lm import HELD_OUT_NOVELS, documents
from copy_task import COPY, COPY_LEVELS, INDUCTION_LEVELS, copying, induction
from recall_task import LEVELS, LONG_LEVELS, WORDS, generate
from task import Batch

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")
LAST_WORD = re.compile(r"(.*[a-z,;]) ([A-Za-z]{4,12})[.!?]")
# work: (cloze items, continuation items)
QUOTA = dict(northanger_abbey=(230, 200), persuasion=(230, 200), state_of_the_union=(80, 80))
CONTINUATION_WORDS = 12
CALIBRATION_CHARACTERS = dict(austen=80_000, mobydick=40_000, sotu=80_000)


def passages(paragraphs: list[str], words: int) -> Iterator[tuple[int, int, list[str]]]:
    """Runs of whole paragraphs with at least `words` words: first and last paragraph, sentences."""
    first = 0
    while first < len(paragraphs):
        after, sentences, count = first, [], 0
        while after < len(paragraphs) and count < words:
            sentences += SENTENCE_END.split(paragraphs[after])
            count += len(paragraphs[after].split())
            after += 1
        if count >= words:
            yield first, after - 1, sentences
        first = after


def cloze(source: str, paragraphs: list[str]) -> list[dict]:
    """The first fitting sentence of each passage with 45 words or more before it."""
    out = []
    for first, last, sentences in passages(paragraphs, 130):
        before = ""
        for sentence in sentences:
            m = LAST_WORD.fullmatch(sentence)
            if m and len(before.split()) >= 45:
                context = (before + " " + m[1]).strip()
                seen = re.search(rf"\b{re.escape(m[2])}\b", context) is not None
                context = " ".join(context.split(" ")[-160:])
                out.append(dict(source=source, paragraphs=[first, last], context=context, target=m[2], in_context=seen))
                break
            before = (before + " " + sentence).strip()
    return out


def continuation(source: str, paragraphs: list[str], rng: random.Random) -> list[dict]:
    """The context is cut inside a sentence, three words or more after its start and before its last four: syntax and topic both help."""
    found = []
    for first, last, sentences in passages(paragraphs, 110):
        before = ""
        for sentence in sentences:
            words = sentence.split()
            if len(before.split()) >= 50 and len(words) >= CONTINUATION_WORDS + 7:
                cut = rng.randrange(3, len(words) - CONTINUATION_WORDS - 3)
                context = " ".join((before + " " + " ".join(words[:cut])).split()[-110:])
                found.append((first, last, context, " " + " ".join(words[cut : cut + CONTINUATION_WORDS])))
                break
            before = (before + " " + sentence).strip()
    out = []
    for n, (first, last, context, true) in enumerate(found):
        wrong = rng.sample([other[3] for m, other in enumerate(found) if abs(m - n) > 2], 3)
        out.append(dict(source=source, paragraphs=[first, last], context=context, true=true, wrong=wrong))
    return out


def prose_items(heldout: Path, rng: random.Random) -> tuple[list[dict], list[dict]]:
    """Cloze items, those whose target stands in the context first choice; continuation items with balanced labels."""
    cloze_items, pool = [], []
    for name, (n_cloze, n_continuation) in QUOTA.items():
        paragraphs = [p for p in (heldout / f"{name}.txt").read_text().split("\n") if p]
        items = cloze(name, paragraphs)
        rest = [i for i in items if not i["in_context"]]
        rng.shuffle(rest)
        cloze_items += ([i for i in items if i["in_context"]] + rest)[:n_cloze]
        items = continuation(name, paragraphs, rng)
        rng.shuffle(items)
        pool += items[:n_continuation]
    rng.shuffle(cloze_items)
    rng.shuffle(pool)
    pool = pool[: len(pool) // 4 * 4]
    labels = [i % 4 for i in range(len(pool))]
    rng.shuffle(labels)
    continuation_items = []
    for item, label in zip(pool, labels):
        choices = list(item.pop("wrong"))
        choices.insert(label, item.pop("true"))
        continuation_items.append(item | dict(choices=choices, label=label))
    return cloze_items, continuation_items


def recall_items(level: str, gen: torch.Generator) -> list[dict]:
    pairs, context = LEVELS[level]
    out = []
    for row in generate(600, pairs, context, 1, gen).ids.tolist():
        words = [WORDS[t] for t in row]
        query, answer = " ".join(words[context : context + 2]), words[context + 2]
        out.append(dict(pairs=pairs, context=" ".join(words[:context]), query=query, answer=answer))
    return out


LONG_ITEMS = {256: 120, 512: 80, 1024: 50}  # about as many tokens a file
TASK_ITEMS = 300


def items_of(words: list[str], batch: Batch, query: int) -> list[dict]:
    """Context, the `query` tokens that follow it, and the answer: the rest of the row."""
    context, out = batch.is_filler.shape[1], []
    for row in batch.ids.tolist():
        text = [words[t] for t in row]
        parts = text[:context], text[context : context + query], text[context + query :]
        out.append(dict(zip(("context", "query", "answer"), map(" ".join, parts))))
    return out


def write_tasks(out: Path, seed: int) -> None:
    """The sets added after the first ones: a generator of their own, so that the others stay byte for byte."""
    gen = torch.Generator().manual_seed(seed + 1)
    for level, (pairs, context) in LONG_LEVELS.items():
        batch = generate(LONG_ITEMS[context], pairs, context, 1, gen)
        write_jsonl(out / f"recall_{level}.jsonl", f"recall-{level}", items_of(WORDS, batch, 2))
    for level, difficulty in COPY_LEVELS.items():
        write_jsonl(out / f"copy_{level}.jsonl", f"copy-{level}", items_of(COPY.words, copying(TASK_ITEMS, *difficulty, gen), 1))
    for level, difficulty in INDUCTION_LEVELS.items():
        write_jsonl(out / f"induction_{level}.jsonl", f"induction-{level}", items_of(COPY.words, induction(TASK_ITEMS, *difficulty, gen), 1))
    both = zip(copying(80, 6, 64, gen).ids.tolist(), induction(80, 64, gen).ids.tolist())
    lines = [" ".join(COPY.words[t] for t in row) + "\n" for rows in both for row in rows]
    (out / "copy_calibration.txt").write_text("".join(lines))


def training_documents(corpus: Path, source: str) -> list[list[str]]:
    docs = documents(corpus / f"{source}.txt")
    if source == "austen":
        return [d for i, d in enumerate(docs) if i not in HELD_OUT_NOVELS]
    if source == "sotu":
        return [d for i, d in enumerate(docs) if i % 29 != 7]
    return docs


def calibration(corpus: Path, rng: random.Random) -> str:
    """Runs of six paragraphs from random documents, at most 3000 characters each."""
    out = ""
    for source, share in CALIBRATION_CHARACTERS.items():
        docs = training_documents(corpus, source)
        part = ""
        while len(part) < share - 2000:
            d = rng.choice(docs)
            at = rng.randrange(max(1, len(d) - 6))
            part += "\n".join(d[at : at + 6])[:3000].rsplit(" ", 1)[0] + "\n\n"
        out += part[:share]
    return out


def write_jsonl(path: Path, prefix: str, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(dict(id=f"{prefix}-{i:04d}") | r) + "\n" for i, r in enumerate(rows)))
    print(path, len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/whittle-train/corpus"))
    parser.add_argument("--lmdata", type=Path, default=Path("/tmp/whittle-train/lmdata"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    shutil.copytree(args.lmdata / "heldout", args.out / "heldout", dirs_exist_ok=True)
    cloze_items, continuation_items = prose_items(args.lmdata / "heldout", rng)
    write_jsonl(args.out / "cloze.jsonl", "cloze", cloze_items)
    write_jsonl(args.out / "continuation.jsonl", "cont", continuation_items)
    gen = torch.Generator().manual_seed(args.seed)
    for level in LEVELS:
        write_jsonl(args.out / f"recall_{level}.jsonl", f"recall-{level}", recall_items(level, gen))
    lines = [" ".join(WORDS[t] for t in row) + "\n" for row in generate(160, 8, 96, 8, gen).ids.tolist()]
    (args.out / "recall_calibration.txt").write_text("".join(lines))
    write_tasks(args.out, args.seed)
    (args.out / "calibration.txt").write_text(calibration(args.corpus, rng))


if __name__ == "__main__":
    main()
