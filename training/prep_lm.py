"""Split the corpus by whole works, train the tokenizer, write token files and the held-out texts.

usage: python prep_lm.py [--corpus /tmp/whittle-train/corpus] [--out /tmp/whittle-train/lmdata] [--vocab 2048]

Held out: the novels Northanger Abbey and Persuasion, every 29th State of the Union address, and the first 280,000 characters of the
Opticks (of which nothing is trained on). Paragraphs that also stand in the training part are dropped from the held-out part.
Writes train_SOURCE.bin and val_WORK.bin (uint16 ids; each document begins with token 0, <|endoftext|>), heldout/WORK.txt,
tokenizer.json and meta.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# Share of the training windows drawn from each source: fiction well above its size.
WEIGHTS = dict(austen=0.30, mobydick=0.14, sotu=0.24, mhcc=0.09, tdavid=0.15, scofield=0.02, web=0.06)
FICTION = ("austen", "mobydick")
# Order in the package: Emma, Mansfield Park, Northanger Abbey, Persuasion, Pride and Prejudice, Sense and Sensibility.
HELD_OUT_NOVELS = {2: "northanger_abbey", 3: "persuasion"}
OPTICKS_CHARACTERS = 280_000
END_OF_TEXT = "<|endoftext|>"

Works = dict[str, list[list[str]]]  # name -> documents -> paragraphs


def documents(path: Path) -> list[list[str]]:
    return [d.split("\n") for d in path.read_text().strip().split("\n\n")]


def held_out_novel(paragraphs: list[str]) -> list[str]:
    """Without the author's notices and the transcriber's remarks."""
    return [p for p in paragraphs if len(p) > 20 and "AUTHORESS" not in p and "modern British usage" not in p]


def beginning_of_opticks(path: Path) -> list[str]:
    out, length = [], 0
    for p in (p for d in documents(path) for p in d if "Produced by" not in p and "Gutenberg" not in p):
        if length >= OPTICKS_CHARACTERS:
            break
        out.append(p)
        length += len(p) + 1
    return out


def split(corpus: Path) -> tuple[Works, Works]:
    train = {s: documents(corpus / f"{s}.txt") for s in WEIGHTS}
    held = {name: [held_out_novel(train["austen"][i])] for i, name in HELD_OUT_NOVELS.items()}
    train["austen"] = [d for i, d in enumerate(train["austen"]) if i not in HELD_OUT_NOVELS]
    held["state_of_the_union"] = [d for i, d in enumerate(train["sotu"]) if i % 29 == 7]
    train["sotu"] = [d for i, d in enumerate(train["sotu"]) if i % 29 != 7]
    held["opticks"] = [beginning_of_opticks(corpus / "opticks.txt")]
    trained_on = {p for works in train.values() for d in works for p in d}
    held = {name: [[p for p in d if p not in trained_on] for d in works] for name, works in held.items()}
    return train, held


def tokenizer_sample(train: Works) -> list[str]:
    """Every third paragraph, fiction whole and twice."""
    sample = [
        p
        for name, works in train.items()
        for d in works
        for i, p in enumerate(d)
        if name in FICTION or i % 3 == 0
    ]
    return sample + [p for name in FICTION for d in train[name] for p in d]


def train_tokenizer(sample: list[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        sample,
        trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False),
    )
    return tokenizer


def encode(tokenizer: Tokenizer, works: list[list[str]]) -> np.ndarray:
    ids = []
    for paragraphs in works:
        ids.append(0)
        for e in tokenizer.encode_batch([p + "\n" for p in paragraphs]):
            ids += e.ids
    return np.array(ids, dtype=np.uint16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/whittle-train/corpus"))
    parser.add_argument("--out", type=Path, default=Path("/tmp/whittle-train/lmdata"))
    parser.add_argument("--vocab", type=int, default=2048)
    args = parser.parse_args()
    (args.out / "heldout").mkdir(parents=True, exist_ok=True)
    train, held = split(args.corpus)
    for name, works in held.items():
        (args.out / f"heldout/{name}.txt").write_text("\n\n".join("\n".join(d) for d in works) + "\n")
    tokenizer = train_tokenizer(tokenizer_sample(train), args.vocab)
    tokenizer.save(str(args.out / "tokenizer.json"))
    files = {}
    for kind, part in (("train", train), ("val", held)):
        for name, works in part.items():
            ids = encode(tokenizer, works)
            ids.tofile(args.out / f"{kind}_{name}.bin")
            size = sum(len(p) + 1 for d in works for p in d)
            files[f"{kind}_{name}"] = dict(docs=len(works), bytes=size, tokens=len(ids), bytes_per_token=round(size / len(ids), 3))
            print(kind, name, files[f"{kind}_{name}"], flush=True)
    meta = dict(weights=WEIGHTS, vocab=args.vocab, files=files)
    (args.out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
