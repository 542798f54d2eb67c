"""Measures the cells of a grid on a Ray cluster, into the same file that `whittle sweep GRID --out FILE` writes.

usage: python ray_sweep.py GRID --out FILE [--address ADDRESS] [--program whittle] [--threads N] [--backend cpu|gpu|auto]

GRID, the models and data that it names, and the program are read at the same paths on every node. A cell is a Ray task.
A Ray worker keeps one `whittle sweep GRID --worker` process, which keeps its model loaded for the next cell. A task whose
worker or process dies is tried again; a cell that cannot be measured is named at the end, the exit code is then 2, and the
others are there. The file is only ever added to: a driver that was killed is started again by the same command.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import ray
from ray.exceptions import RayError

# How often a cell is tried whose worker or process dies.
TRIES = 3
POINT = '{"point":'

_processes: dict[tuple[str, ...], subprocess.Popen] = {}


class Died(Exception):
    """The process over a cell ended; the cell may be tried again."""


def ask(command: list[str], cell: int) -> str:
    """The line that the worker process of `command` in this Ray worker gives for a cell."""
    process = _processes.get(tuple(command))
    if process is None or process.poll() is not None:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _processes[tuple(command)] = process
    try:
        process.stdin.write(f"{cell}\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        line = ""
    if not line.endswith("\n"):
        _processes.pop(tuple(command))
        raise Died(f"the process of cell {cell} ended with code {process.wait()}")
    return line[:-1]


class Points:
    """The file: one line a finished cell. Another sweep cannot open it meanwhile, here or in `whittle sweep`."""

    def __init__(self, path: Path):
        self.file = open(path, "ab+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"{path}: another sweep writes to it; wait for that one, or name another file")
        self.file.seek(0)
        data = self.file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # what a kill has cut short
            self.file.truncate(whole)
        self.keys = {json.loads(line)["key"] for line in data[:whole].splitlines() if line.strip()}

    def add(self, point: str) -> None:
        """Adds a point as the worker wrote it, to the byte; when this returns it is on the disk."""
        key = json.loads(point)["key"]
        if key not in self.keys:
            self.keys.add(key)
            self.file.write(point.encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())


def cells(program: str, grid: str) -> list[dict]:
    """Number, key and name of every cell. Ends the program where the grid is none."""
    listed = subprocess.run([program, "sweep", grid, "--list", "--json"], stdout=subprocess.PIPE, text=True)
    if listed.returncode != 0:
        sys.exit(listed.returncode)
    return [json.loads(line) for line in listed.stdout.splitlines()]


def measure(command: list[str], waiting: list[dict], points: Points, cpus: float, gpus: float) -> list[str]:
    """Spreads the cells over the cluster and adds what comes back; gives a sentence for each cell that failed."""
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=TRIES - 1, retry_exceptions=[Died])(ask)
    running = {task.remote(command, cell["cell"]): cell for cell in waiting}
    failed = []
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        cell = running.pop(done)
        try:
            line = ray.get(done)
        except RayError as e:
            failed.append(f"{cell['name']} (its worker died {TRIES} times; {str(e).strip().splitlines()[-1]})")
            continue
        if line.startswith(POINT):
            points.add(line[len(POINT) : -1])
            print(f"{len(waiting) - len(running) - len(failed)} of {len(waiting)} cells", file=sys.stderr, flush=True)
        else:
            failed.append(f"{cell['name']} ({json.loads(line)['error']})")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--address", help="of a Ray cluster; by default RAY_ADDRESS, or a cluster on this machine alone")
    parser.add_argument("--program", default="whittle")
    parser.add_argument("--threads", type=int, default=1, help="threads of a cell, and CPUs that Ray counts for it")
    parser.add_argument("--backend", default="cpu", choices=["cpu", "gpu", "auto"])
    args = parser.parse_args()
    grid = str(Path(args.grid).resolve())
    points = Points(args.out)
    all_cells = cells(args.program, grid)
    waiting = [cell for cell in all_cells if cell["key"] not in points.keys]
    print(f"{len(all_cells)} cells, {len(all_cells) - len(waiting)} of them measured already", file=sys.stderr)
    if not waiting:
        return 0
    ray.init(address=args.address, log_to_driver=False)
    command = [args.program, "sweep", grid, "--worker", "--backend", args.backend, "--threads", str(args.threads)]
    failed = measure(command, waiting, points, args.threads, 0 if args.backend == "cpu" else 1)
    for why in failed:
        print(f"not measured: {why}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
