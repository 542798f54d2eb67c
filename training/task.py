"""What the generated tasks share: a batch, a curriculum, a word-level tokenizer, accuracy."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, models, pre_tokenizers


@dataclass
class Batch:
    ids: torch.Tensor  # [rows, seq_len]
    asked: torch.Tensor  # [answers]: positions whose next token is an answer
    is_filler: torch.Tensor  # [rows, context]


@dataclass
class Part:
    """One kind of sequence. A difficulty is a tuple of what `generate` takes after `rows`."""

    name: str
    generate: Callable[..., Batch]  # (rows, *difficulty, generator)
    curriculum: list[tuple]
    levels: dict[str, tuple]  # difficulties that are measured
    stated: str  # level of the gate


@dataclass
class Task:
    """What one model learns: parts over one vocabulary."""

    words: list[str]
    parts: list[Part]


def word_tokenizer(words: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def places(rows: int, n: int, width: int, context: int, gen: torch.Generator | None) -> torch.Tensor:
    """First positions [rows, n] of n runs of `width` tokens at random places of a context, none overlapping.

    Distinct sorted places in a context shortened by width - 1 tokens a run, then spread again.
    """
    short = torch.rand(rows, context - n * (width - 1), generator=gen).argsort(1)[:, :n].sort(1).values
    return short + (width - 1) * torch.arange(n)


@torch.no_grad()
def accuracy(model, part: Part, level: tuple, n: int = 512, seed: int = 99, rows: int = 128) -> tuple[float, float]:
    """Share of right answer tokens, and of sequences with all of them right; earlier answers are given."""
    gen = torch.Generator().manual_seed(seed)
    tokens = whole = 0.0
    for _ in range(n // rows):
        b = part.generate(rows, *level, gen)
        right = model(b.ids[:, :-1])[:, b.asked].argmax(-1) == b.ids[:, b.asked + 1]
        tokens += right.float().mean().item()
        whole += right.all(1).float().mean().item()
    return tokens / (n // rows), whole / (n // rows)
