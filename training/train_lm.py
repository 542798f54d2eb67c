"""Train one language model for some wall time, along a schedule counted in tokens.

usage: python train_lm.py --kind mamba2 --data DIR --run DIR --seconds 1200 [--plan plan.json] [--compile]

Stopping and starting again changes nothing but the time it takes: learning rate, sequence length and the text of each
step depend on the tokens and steps done so far, all in RUN/ckpt.pt. A checkpoint of the older trainer (checkpoints/lm_*.pt)
is taken over: weights and optimizer stay, the learning rate warms up once from there.

Learning rate at `tokens` seen: warm-up, then the peak, then from `decay_from` half a cosine down to `final_lr_share` of
the peak at `total_tokens`. Raise `total_tokens` and `decay_from` in the plan at will before `decay_from` is reached;
RUN/hold.pt keeps the state at that point, for going on from there later.

RUN/log.txt is for reading, RUN/log.jsonl holds one object a held-out check.
"""

import argparse
import json
import math
import os
import shutil
import signal
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from corpus_data import HeldOut, TrainingText
from lm import build, count_parameters, optimizer_groups

SAVE_EVERY_SECONDS = 180
LOG_EVERY_SECONDS = 60


def learning_rate(plan: dict, peak: float, tokens: int, warm_from: int) -> float:
    warm = min(1.0, (tokens - warm_from + plan["batch_tokens"]) / plan["warmup_tokens"])
    progress = (tokens - plan["decay_from"]) / (plan["total_tokens"] - plan["decay_from"])
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    floor = plan["final_lr_share"]
    return peak * warm * (floor + (1 - floor) * cosine)


class Run:
    """Model, optimizer and counters of one run directory."""

    def __init__(self, kind: str, plan: dict, vocab_size: int, path: Path):
        self.path, self.plan = path, plan
        self.peak = plan["models"][kind]["peak_lr"]
        self.shape = {"kind": kind, "vocab_size": vocab_size} | plan["models"][kind]["shape"]
        torch.manual_seed(plan["seed"])
        self.model = build(self.shape)
        self.optimizer = torch.optim.AdamW(optimizer_groups(self.model, plan["weight_decay"]), betas=(0.9, 0.95))
        self.step = self.tokens = self.warm_from = 0
        self.seconds = 0.0
        path.mkdir(parents=True, exist_ok=True)
        if (path / "ckpt.pt").exists():
            self.load(torch.load(path / "ckpt.pt", weights_only=False))

    def load(self, s: dict) -> None:
        shape = s["shape"] if "shape" in s else s["c"]
        if shape != self.shape:
            raise SystemExit(f"{self.path}/ckpt.pt holds the shape {shape}, the plan asks for {self.shape}: use another run directory")
        self.model.load_state_dict(s["model"])
        self.optimizer.load_state_dict(s["opt"])
        if "st" in s:  # written by the older trainer, whose learning rate had already decayed
            self.step, self.tokens, self.seconds = s["st"]["step"], s["st"]["tok"], s["st"]["spent"]
            self.warm_from = self.tokens
        else:
            self.step, self.tokens, self.seconds, self.warm_from = s["step"], s["tokens"], s["seconds"], s["warm_from"]

    def save(self, name: str = "ckpt.pt") -> None:
        state = dict(
            model=self.model.state_dict(), opt=self.optimizer.state_dict(), shape=self.shape, step=self.step,
            tokens=self.tokens, seconds=self.seconds, warm_from=self.warm_from, plan=self.plan,
        )
        unfinished = self.path / (name + ".tmp")
        torch.save(state, unfinished)
        os.replace(unfinished, self.path / name)

    @property
    def decaying(self) -> bool:
        return self.tokens >= self.plan["decay_from"]

    @property
    def seq_len(self) -> int:
        return self.plan["seq_len_decay"] if self.decaying else self.plan["seq_len"]

    def train_step(self, net, text: TrainingText) -> float:
        lr = learning_rate(self.plan, self.peak, self.tokens, self.warm_from)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        ids = text.batch(self.step, self.plan["batch_tokens"] // self.seq_len, self.seq_len)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = net(ids[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.plan["clip"])
        self.optimizer.step()
        self.step += 1
        self.tokens += ids[:, 1:].numel()
        return loss.item()


class Log:
    def __init__(self, path: Path):
        self.path = path

    def line(self, text: str) -> None:
        print(text, flush=True)
        with open(self.path / "log.txt", "a") as f:
            f.write(text + "\n")

    def check(self, run: Run, scores: dict) -> None:
        entry = dict(step=run.step, tokens=run.tokens, seconds=round(run.seconds), **scores)
        with open(self.path / "log.jsonl", "a") as f:
            f.write(json.dumps(entry) + "\n")
        each = "  ".join(f"{k} {v:.3f}" for k, v in scores["loss"].items())
        self.line(f"    held-out {scores['mean']:.4f} nats a token, top-1 {scores['top1']:.3f}   ({each})")


def train(run: Run, text: TrainingText, held: HeldOut, seconds: float, compiled: bool) -> None:
    log = Log(run.path)
    stopping = []
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stopping.append(True))
    log.line(f"{time.strftime('%Y-%m-%d %H:%M')} {run.shape['kind']} {count_parameters(run.model)} parameters, step {run.step}, {run.tokens / 1e6:.2f}M tokens")
    net = torch.compile(run.model, dynamic=False) if compiled else run.model
    every = run.plan["eval_every_tokens"]
    start, before = time.time(), run.seconds
    saved = logged = start
    mark = (run.tokens, start, time.process_time())
    average = None
    # One sequence length a process: a compiled model would be compiled anew for another.
    length = run.seq_len
    while run.tokens < run.plan["total_tokens"] and time.time() - start < seconds and not stopping:
        if run.seq_len != length:
            run.save("hold.pt")
            break
        loss = run.train_step(net, text)
        average = loss if average is None else 0.98 * average + 0.02 * loss
        now = time.time()
        run.seconds = before + now - start
        if now - logged > LOG_EVERY_SECONDS:
            lr = run.optimizer.param_groups[0]["lr"]
            # Two speeds: the second is what the machine would do if nobody else used it.
            n, wall, cpu = run.tokens - mark[0], now - mark[1], time.process_time() - mark[2]
            log.line(
                f"{run.seconds:7.0f} s  step {run.step}  {run.tokens / 1e6:.2f}M tokens  loss {average:.3f}  lr {lr:.2e}  "
                f"{n / wall:.0f} tokens/s, {n / cpu:.0f} a CPU second"
            )
            logged, mark = now, (run.tokens, now, time.process_time())
        if run.tokens // every != (run.tokens - run.plan["batch_tokens"]) // every:
            log.check(run, held.evaluate(run.model))
        if now - saved > SAVE_EVERY_SECONDS:
            run.save()
            saved = now
    run.save()


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["mamba", "mamba2", "llama"], required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--plan", type=Path, default=here / "plan.json")
    parser.add_argument("--start", type=Path, help="a checkpoint to begin from when the run has none")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    plan = json.loads(args.plan.read_text())
    if args.start and not (args.run / "ckpt.pt").exists():
        args.run.mkdir(parents=True, exist_ok=True)
        shutil.copy(args.start, args.run / "ckpt.pt")
        (args.run / "ckpt.pt").chmod(0o644)
    text = TrainingText(args.data, plan["seed"])
    run = Run(args.kind, plan, text.vocab_size, args.run)
    train(run, text, HeldOut(args.data), args.seconds, args.compile)


if __name__ == "__main__":
    main()
