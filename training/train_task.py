"""Train one task model along its curricula, for a given wall time.

usage: python train_task.py --task recall --kind mamba2 --run DIR --seconds 560

Each step takes one part of the task at random. The next stage of a part begins when the running accuracy of the newest one passes 93 %; 60 %
of a part's steps come from its newest stage, the others from any stage so far. Loss on the answers only. Rate: 100 steps of warm-up,
constant to 60 % of the time, then linear to 2 %. The same command with larger --seconds goes on from RUN/ckpt.pt along the longer plan.
"""

import argparse
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from copy_task import COPY
from lm import build, count_parameters, optimizer_groups
from recall_task import RECALL
from task import Part, Task, accuracy

TASKS = {"recall": RECALL, "copy": COPY}
PEAK_LR, WEIGHT_DECAY, SEED = 3e-3, 0.1, 1
STEP_TOKENS, PASS = 4096, 0.93
SHAPE = {
    "mamba": dict(n_layer=2, d_model=64, d_state=16, dt_rank=4),
    "mamba2": dict(n_layer=2, d_model=64, d_state=32, headdim=32, chunk_size=64),
    "llama": dict(n_layer=2, d_model=64, n_head=4, n_kv_head=4, d_ff=128),
}


def rate(step: int, share_of_time: float) -> float:
    fall = 1.0 if share_of_time < 0.6 else max(0.02, (1 - share_of_time) / 0.4)
    return PEAK_LR * min(1.0, (step + 1) / 100) * fall


class Course:
    """Where one part stands on its curriculum."""

    def __init__(self, part: Part):
        self.part = part
        self.stage, self.running = 0, 0.0

    def difficulty(self) -> tuple[int, tuple]:
        newest = torch.rand(()) < 0.6
        stage = self.stage if newest else int(torch.randint(0, self.stage + 1, ()))
        return stage, self.part.curriculum[stage]

    def note(self, stage: int, right: float) -> None:
        if stage == self.stage:
            self.running = 0.95 * self.running + 0.05 * right

    def advance(self) -> bool:
        if self.running <= PASS or self.stage == len(self.part.curriculum) - 1:
            return False
        self.stage += 1
        self.running = 0.0
        return True

    def __str__(self) -> str:
        return f"{self.part.name} {self.part.curriculum[self.stage]} accuracy {self.running:.3f}"


class Trainer:
    def __init__(self, task: Task, kind: str, run: Path):
        torch.manual_seed(SEED)
        self.path = run / "ckpt.pt"
        self.shape = {"kind": kind, "vocab_size": len(task.words)} | SHAPE[kind]
        self.model = build(self.shape)
        self.optimizer = torch.optim.AdamW(optimizer_groups(self.model, WEIGHT_DECAY), betas=(0.9, 0.95))
        self.courses = [Course(part) for part in task.parts]
        self.step = self.tokens = 0
        self.seconds = 0.0
        run.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            s = torch.load(self.path, weights_only=False)
            self.model.load_state_dict(s["model"])
            self.optimizer.load_state_dict(s["opt"])
            self.step, self.tokens, self.seconds = s["step"], s["tokens"], s["seconds"]
            for course, stage in zip(self.courses, s["stages"]):
                course.stage = stage
            torch.manual_seed(SEED + self.step)

    def save(self) -> None:
        state = dict(
            model=self.model.state_dict(), opt=self.optimizer.state_dict(), shape=self.shape, step=self.step,
            tokens=self.tokens, stages=[c.stage for c in self.courses], seconds=self.seconds,
        )
        unfinished = self.path.with_suffix(".tmp")
        torch.save(state, unfinished)
        os.replace(unfinished, self.path)

    def train_step(self, share_of_time: float) -> Course:
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, share_of_time)
        course = self.courses[int(torch.randint(0, len(self.courses), ()))]
        stage, difficulty = course.difficulty()
        # One row tells how long the rows of this difficulty are.
        length = course.part.generate(1, *difficulty).ids.shape[1]
        b = course.part.generate(max(8, STEP_TOKENS // length), *difficulty)
        logits = self.model(b.ids[:, :-1])[:, b.asked]
        answers = b.ids[:, b.asked + 1]
        loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.tokens += b.ids.numel()
        course.note(stage, (logits.argmax(-1) == answers).float().mean().item())
        return course


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(TASKS), required=True)
    parser.add_argument("--kind", choices=list(SHAPE), required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    t = Trainer(TASKS[args.task], args.kind, args.run)
    print(t.shape, count_parameters(t.model), "parameters", flush=True)
    start = time.time() - t.seconds
    said = saved = t.seconds
    while t.seconds < args.seconds:
        course = t.train_step(t.seconds / args.seconds)
        t.seconds = time.time() - start
        if course.advance():
            print(f"{t.seconds:6.0f} s  step {t.step}  next: {course}", flush=True)
        if t.seconds - said > 20:
            print(f"{t.seconds:6.0f} s  step {t.step}  " + ", ".join(map(str, t.courses)), flush=True)
            said = t.seconds
        if t.seconds - saved > 60:
            t.save()
            saved = t.seconds
    t.save()
    for course in t.courses:
        part = course.part
        print(part.name, {name: tuple(round(a, 4) for a in accuracy(t.model, part, level)) for name, level in part.levels.items()})


if __name__ == "__main__":
    main()
