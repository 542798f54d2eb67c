"""Writes tests/tokenizer/*.json: small tokenizers of each published style, and what Hugging Face's
`tokenizers` makes of a set of awkward texts.

    pip install tokenizers==0.23.3
    [STYLES=llama2,opt] python make_cases.py TEXT_FILE OUT_DIR [CASES [EXISTING_TOKENIZER_JSON ...]]

TEXT_FILE is what the small BPEs are trained on. An existing tokenizer.json may be given to compare
with it too. STYLES names those that are written, else all. A wide comparison: write 2,500 cases elsewhere, then
WHITTLE_CASES=OUT_DIR cargo test --test tokenizer wide. Each output: {"tokenizer": {...}, "prefix": ids, "cases": [[text, ids, decoded], ...]}.
"""

import json
import os
import random
import sys

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
BYTES = pre_tokenizers.ByteLevel.alphabet()

WORDS = (
    "the of and Emma whale 'twas don't we'll I'VE it's It'S they're he'd I'm 'Tis 'ſ x'lL ' '' 's' "
    "1 12 1234 3.14 ٣٤٥ ² ½ Ⅷ ⅷ ① 〇 १२ 𝟙𝟚 café cafe\u0301 Å Å ﬁ ﬃ İ ı ß Σς ǅ ʰ ª ꙮ "
    "Ⓐ ⓐ 🄰 日本語 中文字 한국어 ᄒ\u1161ᆫ ไทย हिन्दी עִבְרִית العَرَبِيَّة ελληνικά русский "
    "👍 👩‍👩‍👧 🇩🇪 ☃️ … — “quoted” € ± -- ... !!! ?! (a) [b] {c} <d> _e_ a_b @x #y http://a.b/c?d=e&f "
    "<|endoftext|> <|endoftext <|im_start|> <|pad|> <mask> <s> </s> <unk> <0x0A> <left> <right> <both> \u2581 \u2581a \u0344 \u0958 \u1e9b\u0323 \uac01 \u0300 \u00ad \u200b \ufeff \ufffd \x00 \x7f"
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


def of_characters(path, vocab, specials=("<unk>", "<s>", "</s>"), falls_back=True, added=(), **parts):
    """A BPE over characters as converted from SentencePiece; `parts` are normalizer, pre_tokenizer, decoder, post_processor."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=falls_back))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    single = [f"<0x{byte:02X}>" for byte in range(256)] if falls_back else []
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=[*specials, *single], limit_alphabet=90, show_progress=False)
    tokenizer.train([path], trainer)
    text = json.loads(tokenizer.to_str())
    # The tokens of single bytes are no added tokens in published files.
    text["added_tokens"] = [token for token in text["added_tokens"] if token["content"] in specials]
    tokenizer = Tokenizer.from_str(json.dumps({**text, "pre_tokenizer": None}))
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.add_tokens(list(added))
    return tokenizer


def character_styles(path):
    replace, fallback, fuse = decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()
    begin = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    strips = [AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
              AddedToken("<both>", lstrip=True, rstrip=True, normalized=True)]
    to_mark = normalizers.Replace(" ", "\u2581")
    stripped = decoders.Sequence([replace, fallback, fuse, decoders.Strip(" ", 1, 0)])
    yield "llama2", of_characters(path, 700, added=strips, post_processor=begin, decoder=stripped,
                                  normalizer=normalizers.Sequence([normalizers.Prepend("\u2581"), to_mark]))
    first = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    yield "mistral", of_characters(path, 650, added=strips, post_processor=begin, decoder=stripped, pre_tokenizer=first)
    yield "gemma", of_characters(path, 650, normalizer=to_mark, decoder=decoders.Sequence([replace, fallback, fuse]),
                                 pre_tokenizer=pre_tokenizers.Split(" ", "merged_with_previous"))
    yield "metaspace", of_characters(path, 400, falls_back=False, pre_tokenizer=pre_tokenizers.Metaspace(),
                                     decoder=decoders.Metaspace())
    opt = bpe(path, pre_tokenizers.ByteLevel(add_prefix_space=False), 400, specials=("<pad>", "</s>"),
              added=[AddedToken("<mask>", lstrip=True, normalized=True)])
    opt.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    yield "opt", opt


def main():
    path, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 120
    for existing in sys.argv[4:]:
        write(out, os.path.basename(os.path.dirname(existing)), Tokenizer.from_file(existing), count)
    wanted = set(filter(None, os.environ.get("STYLES", "").split(",")))
    for name, tokenizer in [*styles(path), *character_styles(path)]:
        if wanted and name not in wanted:
            continue
        write(out, name, tokenizer, count)


def write(out, name, tokenizer, count):
    cases = []
    for text in texts(count):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append([text, ids, tokenizer.decode(ids, skip_special_tokens=False)])
    before = tokenizer.encode("", add_special_tokens=True).ids
    tokens = json.loads(tokenizer.to_str())
    lines = ",\n".join(json.dumps(case) for case in cases)
    with open(f"{out}/{name}.json", "w") as file:
        file.write('{"tokenizer":' + json.dumps(tokens) + f',\n"prefix":{json.dumps(before)}' + ',\n"cases":[\n' + lines + "\n]}\n")


main()
