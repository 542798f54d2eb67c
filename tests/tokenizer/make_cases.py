"""Writes tests/tokenizer/*.json: small tokenizers of each published style, and what Hugging Face's
`tokenizers` makes of a set of awkward texts.

    pip install tokenizers==0.23.3
    python make_cases.py TEXT_FILE OUT_DIR [CASES [EXISTING_TOKENIZER_JSON ...]]

TEXT_FILE is what the small BPEs are trained on. An existing tokenizer.json may be given to compare
with it too. Each output: {"tokenizer": {...}, "cases": [[text, ids, decoded], ...]}.
"""

import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
BYTES = pre_tokenizers.ByteLevel.alphabet()

WORDS = (
    "the of and Emma whale 'twas don't we'll I'VE it's It'S they're he'd I'm 'Tis 'ſ x'lL ' '' 's' "
    "1 12 1234 3.14 ٣٤٥ ² ½ Ⅷ ⅷ ① 〇 १२ 𝟙𝟚 café cafe\u0301 Å Å ﬁ ﬃ İ ı ß Σς ǅ ʰ ª ꙮ "
    "Ⓐ ⓐ 🄰 日本語 中文字 한국어 ᄒ\u1161ᆫ ไทย हिन्दी עִבְרִית العَرَبِيَّة ελληνικά русский "
    "👍 👩‍👩‍👧 🇩🇪 ☃️ … — “quoted” € ± -- ... !!! ?! (a) [b] {c} <d> _e_ a_b @x #y http://a.b/c?d=e&f "
    "<|endoftext|> <|endoftext <|im_start|> <|pad|> <mask> \u0344 \u0958 \u1e9b\u0323 \uac01 \u0300 \u00ad \u200b \ufeff \ufffd \x00 \x7f"
).split(" ")
GAPS = [" ", " ", " ", " ", "", "", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\xa0", " \u3000", "\u2003", "\x85", "\u2028", "\x0b", "\x1c", "\u180e", "        "]


def texts(count):
    rng = random.Random(11)
    yield from ["", " ", "  ", "\n", "a", " a", "a ", "a  b", "\t\ta", "'", "é", "e\u0301", "<|endoftext|>", "<|endoftext|><|endoftext|> a"]
    for number in range(count):
        parts = []
        for _ in range(rng.randint(1, 8)):
            if number % 4 == 3:
                parts.append("".join(char(rng) for _ in range(rng.randint(1, 4))))
            else:
                parts.append(rng.choice(WORDS))
            parts.append(rng.choice(GAPS))
        yield "".join(parts)


def char(rng):
    """Any scalar value, the lower ones more often."""
    top = rng.choice([0x80, 0x300, 0x3000, 0x10000, 0x20000, 0x110000])
    point = rng.randrange(top)
    return "a" if 0xD800 <= point < 0xE000 else chr(point)


def bpe(path, pre, vocab, normalizer=None, alphabet=BYTES, specials=("<|endoftext|>", "<|im_start|>"), added=(), **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train([path], trainer)
    tokenizer.add_tokens(list(added))
    return tokenizer


def edited(tokenizer, **model):
    """The tokenizer with fields of its model replaced."""
    text = json.loads(tokenizer.to_str())
    text["model"].update(model)
    return Tokenizer.from_str(json.dumps(text))


def styles(path):
    byte_level = pre_tokenizers.ByteLevel
    digits = pre_tokenizers.Digits
    sequence = pre_tokenizers.Sequence
    split = lambda regex: sequence([pre_tokenizers.Split(Regex(regex), "isolated"), byte_level(add_prefix_space=False, use_regex=False)])
    runs = [AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)] + [AddedToken("cafe\u0301", normalized=True)]
    yield "gpt2", bpe(path, byte_level(add_prefix_space=False), 500)
    yield "gpt_neox", bpe(path, byte_level(add_prefix_space=False), 500, normalizers.NFC(), added=runs)
    yield "smollm2", bpe(path, sequence([digits(individual_digits=True), byte_level(add_prefix_space=False)]), 500)
    llama3 = bpe(path, split(LLAMA3), 500)
    vocab = json.loads(llama3.to_str())["model"]["vocab"]
    # A word that no merge makes, to tell ignore_merges from merging.
    yield "llama3", edited(llama3, ignore_merges=True, vocab={**vocab, "whale": max(vocab.values()) + 1})
    yield "qwen2", bpe(path, split(QWEN2), 450, normalizers.NFC())
    prefix = sequence([digits(individual_digits=False), byte_level(add_prefix_space=True)])
    yield "prefix_space", bpe(path, prefix, 400)
    few = [c for c in BYTES if c.isascii()]
    yield "bytes_missing", bpe(path, byte_level(add_prefix_space=False), 300, alphabet=few)
    yield "bytes_unknown", bpe(path, byte_level(add_prefix_space=False), 300, alphabet=few, unk_token="<|endoftext|>", fuse_unk=True)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "of": 2, "1": 3, "👍": 4, "...": 5, "日本語": 6}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    yield "words", words


def main():
    path, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 120
    for existing in sys.argv[4:]:
        write(out, os.path.basename(os.path.dirname(existing)), Tokenizer.from_file(existing), count)
    for name, tokenizer in styles(path):
        write(out, name, tokenizer, count)


def write(out, name, tokenizer, count):
    cases = []
    for text in texts(count):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append([text, ids, tokenizer.decode(ids, skip_special_tokens=False)])
    tokens = json.loads(tokenizer.to_str())
    lines = ",\n".join(json.dumps(case) for case in cases)
    with open(f"{out}/{name}.json", "w") as file:
        file.write('{"tokenizer":' + json.dumps(tokens) + ',\n"cases":[\n' + lines + "\n]}\n")


main()
