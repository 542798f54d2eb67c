"""Train one recall-in-noise model along its curriculum, for a given wall time.

usage: python train_recall.py --kind mamba2 --run DIR --seconds 560

The next stage begins when the running accuracy of the newest one passes 93 %; 60 % of the steps come from the newest stage, the others from
any stage so far. Loss on the values after `?` only. Rate: 100 steps of warm-up, constant to 60 % of the time, then linear to 2 %. The same
command with larger --seconds goes on from RUN/ckpt.pt along the longer plan.
"""

import argparse
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from lm import build, count_parameters, optimizer_groups
from recall_task import CURRICULUM, LEVELS, WORDS, accuracy, generate

PEAK_LR, WEIGHT_DECAY, SEED = 3e-3, 0.1, 1
STEP_TOKENS, QUERIES, PASS = 4096, 16, 0.93
SHAPE = {
    "mamba": dict(n_layer=2, d_model=64, d_state=16, dt_rank=4),
    "mamba2": dict(n_layer=2, d_model=64, d_state=32, headdim=32, chunk_size=64),
    "llama": dict(n_layer=2, d_model=64, n_head=4, n_kv_head=4, d_ff=128),
}


def rate(step: int, share_of_time: float) -> float:
    fall = 1.0 if share_of_time < 0.6 else max(0.02, (1 - share_of_time) / 0.4)
    return PEAK_LR * min(1.0, (step + 1) / 100) * fall


class Trainer:
    def __init__(self, kind: str, run: Path):
        torch.manual_seed(SEED)
        self.path = run / "ckpt.pt"
        self.shape = {"kind": kind, "vocab_size": len(WORDS)} | SHAPE[kind]
        self.model = build(self.shape)
        self.optimizer = torch.optim.AdamW(optimizer_groups(self.model, WEIGHT_DECAY), betas=(0.9, 0.95))
        self.step = self.tokens = self.stage = 0
        self.seconds = self.running = 0.0
        run.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            s = torch.load(self.path, weights_only=False)
            self.model.load_state_dict(s["model"])
            self.optimizer.load_state_dict(s["opt"])
            self.step, self.tokens, self.stage, self.seconds = s["step"], s["tokens"], s["stage"], s["seconds"]
            torch.manual_seed(SEED + self.step)

    def save(self) -> None:
        state = dict(
            model=self.model.state_dict(), opt=self.optimizer.state_dict(), shape=self.shape, step=self.step,
            tokens=self.tokens, stage=self.stage, seconds=self.seconds,
        )
        unfinished = self.path.with_suffix(".tmp")
        torch.save(state, unfinished)
        os.replace(unfinished, self.path)

    def train_step(self, share_of_time: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, share_of_time)
        newest = torch.rand(()) < 0.6
        stage = self.stage if newest else int(torch.randint(0, self.stage + 1, ()))
        pairs, context = CURRICULUM[stage]
        b = generate(max(8, STEP_TOKENS // (context + 2 * QUERIES)), pairs, context, QUERIES)
        logits = self.model(b.ids[:, :-1])[:, b.asked]
        answers = b.ids[:, b.asked + 1]
        loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.tokens += b.ids.numel()
        if stage == self.stage:
            right = (logits.argmax(-1) == answers).float().mean().item()
            self.running = 0.95 * self.running + 0.05 * right
        return loss.item()

    def advance(self) -> bool:
        if self.running <= PASS or self.stage == len(CURRICULUM) - 1:
            return False
        self.stage += 1
        self.running = 0.0
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=list(SHAPE), required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    t = Trainer(args.kind, args.run)
    print(t.shape, count_parameters(t.model), "parameters", flush=True)
    start = time.time() - t.seconds
    said = saved = t.seconds
    while t.seconds < args.seconds:
        loss = t.train_step(t.seconds / args.seconds)
        t.seconds = time.time() - start
        if t.advance():
            print(f"{t.seconds:6.0f} s  step {t.step}  passed {CURRICULUM[t.stage - 1]}", flush=True)
        if t.seconds - said > 20:
            print(f"{t.seconds:6.0f} s  step {t.step}  stage {CURRICULUM[t.stage]}  loss {loss:.3f}  accuracy {t.running:.3f}", flush=True)
            said = t.seconds
        if t.seconds - saved > 60:
            t.save()
            saved = t.seconds
    t.save()
    print({name: round(accuracy(t.model, *level), 4) for name, level in LEVELS.items()})


if __name__ == "__main__":
    main()
