"""Token files written by prep_lm.py: random training windows, and the held-out loss."""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F


class TrainingText:
    def __init__(self, path: Path, seed: int):
        meta = json.loads((path / "meta.json").read_text())
        self.seed, self.vocab_size = seed, meta["vocab"]
        self.sources = [np.fromfile(path / f"train_{name}.bin", dtype=np.uint16) for name in meta["weights"]]
        weights = np.array(list(meta["weights"].values()))
        self.share = weights / weights.sum()

    def batch(self, step: int, rows: int, seq_len: int) -> torch.Tensor:
        """[rows, seq_len + 1], a function of seed and step alone, so that a resumed run reads on where it stopped."""
        rng = np.random.default_rng([self.seed, step])
        ids = np.empty((rows, seq_len + 1), dtype=np.int64)
        for row, source in enumerate(rng.choice(len(self.sources), rows, p=self.share)):
            text = self.sources[source]
            at = rng.integers(0, len(text) - seq_len - 1)
            ids[row] = text[at : at + seq_len + 1]
        return torch.from_numpy(ids)


class HeldOut:
    """Evenly spaced windows of each held-out work."""

    def __init__(self, path: Path):
        meta = json.loads((path / "meta.json").read_text())
        names = [k.removeprefix("val_") for k in meta["files"] if k.startswith("val_")]
        self.works = {n: np.fromfile(path / f"val_{n}.bin", dtype=np.uint16) for n in names}

    @staticmethod
    def windows(ids: np.ndarray, seq_len: int, n: int) -> torch.Tensor:
        n = min(n, (len(ids) - 1) // seq_len)
        stride = (len(ids) - seq_len - 1) // n
        return torch.from_numpy(np.stack([ids[i * stride :][: seq_len + 1] for i in range(n)]).astype(np.int64))

    @torch.no_grad()
    def evaluate(self, model, seq_len: int = 512, n: int = 8) -> dict:
        """loss: nats a token for each work; mean: their mean; top1: share of next tokens guessed, over all works."""
        loss, hits, total = {}, 0, 0
        for name, ids in self.works.items():
            x = self.windows(ids, seq_len, n)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = torch.cat([model(part[:, :-1]).float() for part in x.split(4)])
            loss[name] = round(F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten()).item(), 5)
            hits += (logits.argmax(-1) == x[:, 1:]).sum().item()
            total += x[:, 1:].numel()
        return dict(mean=round(sum(loss.values()) / len(loss), 5), loss=loss, top1=round(hits / total, 5))
