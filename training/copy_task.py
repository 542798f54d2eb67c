"""Selective copying and induction heads, the two synthetic tasks of the Mamba paper (arXiv 2312.00752, section 4.1).

    copying     n03 d07 n00 n11 d02 n05 d19 ? d07 d02 d19      the data tokens, in order, without the filler
    induction   d03 d11 ! d07 d02 d09 d11 ! d07                what followed `!` when it stood there before

Where we differ: 32 data tokens instead of 16, 16 filler tokens instead of one, and the data tokens of one copying context
differ from each other (a repeated token would make the next one ambiguous to a model that looks for its predecessor).
"""

import torch

from task import Batch, Part, Task, places

N_DATA, N_FILLER = 32, 16
QUESTION, TRIGGER = 3, 4
FIRST_DATA = 5
FIRST_FILLER = FIRST_DATA + N_DATA
WORDS = ["<pad>", "<unk>", ".", "?", "!"]
WORDS += [f"d{i:02d}" for i in range(N_DATA)]
WORDS += [f"n{i:02d}" for i in range(N_FILLER)]

COPY_LEVELS = dict(easy=(4, 32), medium=(6, 64), hard=(8, 96))  # (data tokens, context tokens)
COPY_CURRICULUM = [(2, 4), (2, 8), (3, 12), (4, 20), (4, 32), (5, 40), (6, 48), (6, 64), (8, 80), (8, 96)]
INDUCTION_LEVELS = dict(easy=(32,), medium=(64,), hard=(128,))  # (context tokens,)
INDUCTION_CURRICULUM = [(4,), (8,), (16,), (32,), (64,), (96,), (128,)]


def copying(rows: int, data: int, context: int, gen: torch.Generator | None = None) -> Batch:
    ids = torch.randint(FIRST_FILLER, FIRST_FILLER + N_FILLER, (rows, context), generator=gen)
    tokens = FIRST_DATA + torch.rand(rows, N_DATA, generator=gen).argsort(1)[:, :data]
    at = places(rows, data, 1, context, gen)
    ids.scatter_(1, at, tokens)
    is_filler = torch.ones(rows, context, dtype=torch.bool).scatter_(1, at, False)
    ids = torch.cat([ids, torch.full((rows, 1), QUESTION), tokens], 1)
    return Batch(ids, context + torch.arange(data), is_filler)


def induction(rows: int, context: int, gen: torch.Generator | None = None) -> Batch:
    ids = torch.randint(FIRST_DATA, FIRST_DATA + N_DATA, (rows, context), generator=gen)
    at = places(rows, 1, 2, context, gen)
    ids.scatter_(1, at, TRIGGER)
    is_filler = torch.ones(rows, context, dtype=torch.bool)
    for offset in (0, 1):
        is_filler.scatter_(1, at + offset, False)
    ids = torch.cat([ids, torch.full((rows, 1), TRIGGER), ids.gather(1, at + 1)], 1)
    return Batch(ids, torch.tensor([context]), is_filler)


COPY = Task(
    WORDS,
    [
        Part("copy", copying, COPY_CURRICULUM, COPY_LEVELS, "hard"),
        Part("induction", induction, INDUCTION_CURRICULUM, INDUCTION_LEVELS, "hard"),
    ],
)
