"""Recall in noise: key-value pairs side by side at random places among filler tokens, then queries.

    n03 n11 k07 v12 n00 k21 v30 n05 ? k21 v30 k07 v12

Keys in one context differ; values may repeat. Everything before `?` is context; after it come keys, each followed by its value.
"""

import torch

from task import Batch, Part, Task, places

N_KEYS, N_VALUES, N_FILLER = 32, 32, 16
QUESTION = 3
FIRST_KEY = 4
FIRST_VALUE = FIRST_KEY + N_KEYS
FIRST_FILLER = FIRST_VALUE + N_VALUES
WORDS = ["<pad>", "<unk>", ".", "?"]
WORDS += [f"k{i:02d}" for i in range(N_KEYS)]
WORDS += [f"v{i:02d}" for i in range(N_VALUES)]
WORDS += [f"n{i:02d}" for i in range(N_FILLER)]

TRAINING_QUERIES = 16
# (pairs, context tokens); "dense" is not trained on.
LEVELS = dict(easy=(4, 64), medium=(8, 96), hard=(16, 160), dense=(16, 64))
# The same difficulties in long contexts; none is trained on.
PAIRS = dict(easy=4, medium=8, hard=16)
LONG_LEVELS = {f"{name}-{context}": (pairs, context) for context in (256, 512, 1024) for name, pairs in PAIRS.items()}
CURRICULUM = [(2, 12), (3, 24), (4, 40), (6, 64), (8, 80), (8, 96), (12, 112), (16, 160)]


def generate(rows: int, pairs: int, context: int, queries: int, gen: torch.Generator | None = None) -> Batch:
    """When more queries than pairs are wanted, all pairs are asked again in a new order."""

    def uniform(*shape):
        return torch.rand(*shape, generator=gen)

    def integers(low, high, shape):
        return torch.randint(low, high, shape, generator=gen)

    keys = FIRST_KEY + uniform(rows, N_KEYS).argsort(1)[:, :pairs]
    values = integers(FIRST_VALUE, FIRST_VALUE + N_VALUES, (rows, pairs))
    ids = integers(FIRST_FILLER, FIRST_FILLER + N_FILLER, (rows, context))
    is_filler = torch.ones(rows, context, dtype=torch.bool)
    at = places(rows, pairs, 2, context, gen)
    for offset, tokens in ((0, keys), (1, values)):
        ids.scatter_(1, at + offset, tokens)
        is_filler.scatter_(1, at + offset, False)
    rounds = -(-queries // pairs)
    order = torch.cat([uniform(rows, pairs).argsort(1) for _ in range(rounds)], 1)[:, :queries]
    answers = torch.stack([keys.gather(1, order), values.gather(1, order)], 2).flatten(1)
    ids = torch.cat([ids, torch.full((rows, 1), QUESTION), answers], 1)
    return Batch(ids, context + 1 + 2 * torch.arange(queries), is_filler)


RECALL = Task(
    WORDS,
    [
        Part(
            "recall", generate, [(*c, TRAINING_QUERIES) for c in CURRICULUM],
            {name: (pairs, context, pairs) for name, (pairs, context) in LEVELS.items()}, "hard",
        )
    ],
)
