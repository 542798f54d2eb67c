"""Train the three language models in turn, so that they have seen about equally many tokens at any time.

usage: nohup python train_all.py [--state /tmp/whittle-train] [--hours 8] [--slice 1200] &

Always continues the model with the fewest tokens, one process on one thread at nice 19. May be killed at any time (at most
three minutes of work are lost; none with SIGTERM to the process id in STATE/driver.pid) and started again. `touch STATE/STOP` ends it
after the current slice. Reads STATE/lmdata; writes STATE/runs/KIND/{ckpt.pt, log.txt, log.jsonl} and STATE/driver.log.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def tokens_seen(run: Path, start: Path | None) -> int:
    """Of the run so far, or of the checkpoint it is going to begin from."""
    import torch

    for path in (run / "ckpt.pt", start):
        if path and path.exists():
            s = torch.load(path, weights_only=False, map_location="cpu")
            return s["tokens"] if "tokens" in s else s["st"]["tok"]
    return 0


def start_checkpoint(args, kind: str) -> Path | None:
    path = args.start / f"lm_{kind}.pt" if args.start else None
    return path if path and path.exists() else None


def next_kind(args, plan: dict) -> str | None:
    seen = {k: tokens_seen(args.state / "runs" / k, start_checkpoint(args, k)) for k in plan["models"]}
    unfinished = {k: n for k, n in seen.items() if n < plan["total_tokens"]}
    return min(unfinished, key=unfinished.get) if unfinished else None


def slice_command(args, kind: str, seconds: float) -> list[str]:
    command = [sys.executable, str(HERE / "train_lm.py"), "--kind", kind, "--plan", str(args.plan), "--data", str(args.state / "lmdata")]
    command += ["--run", str(args.state / "runs" / kind), "--seconds", str(seconds)]
    start = start_checkpoint(args, kind)
    if start:
        command += ["--start", str(start)]
    if kind in args.compile:
        command.append("--compile")
    return command


stopping = []  # filled by SIGTERM: the slice saves and ends, then the driver


def run_slice(command: list[str], state: Path, log) -> int:
    env = os.environ | {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(state / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    child = subprocess.Popen(command, stdout=log, stderr=log, env=env, preexec_fn=lambda: os.nice(19))
    signal.signal(signal.SIGTERM, lambda *_: (stopping.append(True), child.terminate()))
    return child.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=Path("/tmp/whittle-train"))
    parser.add_argument("--plan", type=Path, default=HERE / "plan.json")
    parser.add_argument("--start", type=Path, default=Path("/work/shared/models/checkpoints"), help="checkpoints to begin from, if there")
    parser.add_argument("--hours", type=float, default=8)
    parser.add_argument("--slice", type=float, default=1200, help="seconds")
    parser.add_argument("--compile", nargs="*", default=[], help="kinds to train through torch.compile")
    args = parser.parse_args()
    plan = json.loads(args.plan.read_text())
    args.state.mkdir(parents=True, exist_ok=True)
    lock = open(args.state / "driver.pid", "a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"another driver runs on {args.state} (process {(args.state / 'driver.pid').read_text().strip()})")
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    end = time.time() + args.hours * 3600
    with open(args.state / "driver.log", "a") as log:
        while time.time() < end and not stopping and not (args.state / "STOP").exists():
            kind = next_kind(args, plan)
            if kind is None:
                break
            code = run_slice(slice_command(args, kind, min(args.slice, end - time.time())), args.state, log)
            if code != 0:
                raise SystemExit(f"training {kind} ended with code {code}: see {args.state}/driver.log")


if __name__ == "__main__":
    main()
