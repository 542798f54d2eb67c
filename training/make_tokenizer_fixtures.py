"""Write tests/fixtures/tokenizers/: strings.json, and NAME/expected.json with the ids that HF `tokenizers` gives each string.

usage: python make_tokenizer_fixtures.py --models /work/shared/models --smollm2 /tmp/smollm2 [--retrain --text FILE ...]

NAME/expected.json: {"source", "sha256" of the tokenizer.json used, "ids": [[..] ..], "decoded": [..]}, in the order of strings.json.
`ids` has no special tokens added around the text; `decoded` keeps special tokens.

lm, recall      the bundled tokenizers
neox, smollm    small ones trained here with the pipelines of GPT-NeoX and SmolLM2; their tokenizer.json is committed beside
smollm2         the real one, 49,152 tokens, not committed: made by smollm2_gguf_to_hf.py
"""

import argparse
import hashlib
import json
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_strings import STRINGS

HERE = Path(__file__).resolve().parent


def train(tokenizer: Tokenizer, texts: list[str], vocab_size: int, special: list[str]) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)


def neox_style(texts: list[str]) -> dict:
    """NFC, byte level, then runs of 24 down to 2 spaces as added tokens that are matched after normalisation."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=True)
    train(t, texts, 760, ["<|endoftext|>", "<|padding|>"])
    t.add_tokens([tokenizers.AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    out = json.loads(t.to_str())
    # The published file is older than these keys, and writes a merge as one string.
    for part in ("pre_tokenizer", "post_processor", "decoder"):
        out[part].pop("use_regex", None)
    for key in ("byte_fallback", "ignore_merges"):
        out["model"].pop(key, None)
    out["model"]["merges"] = [" ".join(m) for m in out["model"]["merges"]]
    return out


def smollm_style(texts: list[str]) -> dict:
    """Single digits, then byte level; no normaliser."""
    t = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    t.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)])
    t.decoder = decoders.ByteLevel()
    train(t, texts, 700, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return json.loads(t.to_str())


def expected(path: Path) -> dict:
    tokenizer = Tokenizer.from_file(str(path))
    ids = [tokenizer.encode(s, add_special_tokens=False).ids for s in STRINGS]
    decoded = [tokenizer.decode(i, skip_special_tokens=False) for i in ids]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(source=f"tokenizers {tokenizers.__version__}", sha256=sha256, ids=ids, decoded=decoded)


def write(path: Path, data: dict) -> None:
    """One string's ids a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lists = {k: "[\n" + ",\n".join(json.dumps(v) for v in data[k]) + "]" for k in ("ids", "decoded")}
    head = {k: json.dumps(data[k]) for k in ("source", "sha256")}
    path.write_text("{" + ",\n".join(f'"{k}": {v}' for k, v in (head | lists).items()) + "}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parent / "tests/fixtures/tokenizers")
    parser.add_argument("--models", type=Path, default=Path("/work/shared/models"))
    parser.add_argument("--smollm2", type=Path, default=Path("/tmp/smollm2"))
    parser.add_argument("--retrain", action="store_true", help="make the neox and smollm tokenizers anew")
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="for --retrain; 150,000 characters of each are read")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "strings.json").write_text("[\n" + ",\n".join(json.dumps(s) for s in STRINGS) + "\n]\n")
    if args.retrain:
        texts = [line for f in args.text for line in f.read_text()[:150_000].split("\n")] + STRINGS * 2
        for name, make in (("neox", neox_style), ("smollm", smollm_style)):
            (args.out / name).mkdir(exist_ok=True)
            (args.out / name / "tokenizer.json").write_text(json.dumps(make(texts), ensure_ascii=False, indent=0) + "\n")
    sources = {
        "lm": args.models / "lm-llama/tokenizer.json",
        "recall": args.models / "recall-llama/tokenizer.json",
        "neox": args.out / "neox/tokenizer.json",
        "smollm": args.out / "smollm/tokenizer.json",
        "smollm2": args.smollm2 / "tokenizer.json",
    }
    for name, path in sources.items():
        data = expected(path)
        write(args.out / name / "expected.json", data)
        exact = sum(d == s for d, s in zip(data["decoded"], STRINGS))
        print(f"{name:8s} {len(STRINGS)} strings, {sum(map(len, data['ids']))} ids, {exact} decode to the same text")


if __name__ == "__main__":
    main()
