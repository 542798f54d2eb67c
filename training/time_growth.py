"""How the time of Whittle's models grows on the CPU: with the threads, with the text, and from the start of the process.

usage: python time_growth.py --bench ../target/fast/deps/models-HASH --whittle ../target/fast/whittle
       [--parts threads,prefill,decode,load] [--mamba DIR]... [--llama /tmp/smollm2] [--turns 5] [--cpu 1]
       [--lengths 2048,8192,32768,65536] [--contexts 512,8192]

The two programs are those that `cargo bench --profile fast --bench models --no-run` and `cargo build --profile fast --bin
whittle` build; shape_models.py makes Mambas. A part is a number of cases; a turn is every case of a part once, each in a
process of its own, in an order that turns round, and a ratio is formed within a turn against the part's first case of the
same model.

    threads  prefill of 512 tokens with two threads (on all cores; the other parts run on --cpu) against one
    prefill  seconds a token of a Mamba's prefill at every length against the first, after 512 tokens to warm up
    decode   milliseconds a decoded token behind a text of every length of --contexts, of the transformer
    load     of the transformer: from the start of `whittle generate` to the first token, and the peak of its memory, and
             that of `whittle score`, against the size of its weights. The files are warm: everything is run once before.

Prints one Markdown table: the median of the turns, and the ratio as median, smallest and largest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from time_engines import cpu_name, ratio

PROMPT = "The river that runs through the old town"


@dataclass
class Case:
    """What is measured; the ratio of a case with `against` is that to the case of this name, in `means`."""

    name: str
    unit: str
    run: Callable[[], tuple[float, float]]  # value in `unit`, peak of memory in MB
    against: str = ""
    means: str = ""
    is_speed: bool = False  # how many times as fast, not as long
    values: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)


def bench(a: argparse.Namespace, model: str, key: str, cores: set[int], **options: int) -> tuple[float, float]:
    command = [a.bench, model, "--rounds", "1"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    pin = partial(os.sched_setaffinity, 0, cores)
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=pin).stdout)
    return found[key], found["peak_mb"]


def process(a: argparse.Namespace, words: list[str], skip: int) -> tuple[float, float]:
    """Seconds until more than `skip` bytes came, and the peak of memory in MB, of the command line."""
    command = [a.whittle, *words, "--model", a.llama, "--threads", "1", "--backend", "cpu"]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=partial(os.sched_setaffinity, 0, a.one))
    read = 0
    while read <= skip:
        piece = os.read(child.stdout.fileno(), 4096)
        if not piece:
            raise SystemExit(f"{' '.join(command)}: it ended without a token")
        read += len(piece)
    seconds = time.perf_counter() - start
    child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


def threads(a: argparse.Namespace) -> list[Case]:
    cases = []
    for model in [a.llama, *a.mamba]:
        name = f"{Path(model).name}, prefill of 512, threads: "
        for count, cores in [(1, a.one), (2, a.all)]:
            run = partial(bench, a, model, "prefill_s", cores, prompt=512, decode=1, threads=count)
            cases.append(Case(f"{name}{count}", "s", run, f"{name}1", "times as fast as one", is_speed=True))
    return cases


def a_token(a: argparse.Namespace, model: str, length: int) -> tuple[float, float]:
    seconds, peak = bench(a, model, "prefill_s", a.one, prompt=length, decode=1, warm=512, threads=1)
    return seconds / length * 1e3, peak


def prefill(a: argparse.Namespace) -> list[Case]:
    cases, first = [], f"{a.lengths[0]:,}"
    for model in a.mamba:
        name = f"{Path(model).name}, prefill of "
        for length in a.lengths:
            run, means = partial(a_token, a, model, length), f"times the time of {first}"
            cases.append(Case(f"{name}{length:,}", "ms a token", run, f"{name}{first}", means))
    return cases


def decode(a: argparse.Namespace) -> list[Case]:
    cases, first = [], f"{a.contexts[0]:,}"
    name = f"{Path(a.llama).name}, decode after "
    for length in a.contexts:
        run = partial(bench, a, a.llama, "decode_ms", a.one, prompt=length, decode=32, warm=512, threads=1)
        cases.append(Case(f"{name}{length:,}", "ms a token", run, f"{name}{first}", f"times the time after {first}"))
    return cases


def load(a: argparse.Namespace) -> list[Case]:
    name, text = Path(a.llama).name, Path(__file__).parent.parent / "SECURITY.md"
    first = partial(process, a, ["generate", "--prompt", PROMPT, "--max-tokens", "1"], len(PROMPT))
    whole = partial(process, a, ["score", "--text", str(text)], 0)
    return [
        Case(f"{name}, `generate` from its start to the first token", "s", first),
        Case(f"{name}, `score` of {text.name}, {text.stat().st_size:,} bytes, from start to end", "s", whole),
    ]


PARTS = {"threads": threads, "prefill": prefill, "decode": decode, "load": load}


def measure(cases: list[Case], turns: int) -> None:
    for turn in range(turns):
        first = turn % len(cases)
        for case in cases[first:] + cases[:first]:
            value, peak = case.run()
            case.values.append(value)
            case.peaks.append(peak)
            print(f"turn {turn + 1}: {case.name}: {value:.4g} {case.unit}, {peak:.0f} MB", file=sys.stderr)


def compared(case: Case, cases: list[Case]) -> str:
    base = next((other for other in cases if other.name == case.against), case)
    if base is case:
        return ""
    slow, fast = (base.values, case.values) if case.is_speed else (case.values, base.values)
    return f"{ratio(slow, fast)} {case.means}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--whittle", required=True)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--mamba", action="append", default=[], metavar="DIR")
    parser.add_argument("--llama", default="/tmp/smollm2", metavar="DIR")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--cpu", type=int, help="the core of everything that has one thread")
    parser.add_argument("--lengths", default="2048,8192,32768,65536")
    parser.add_argument("--contexts", default="512,8192")
    a = parser.parse_args()
    a.lengths, a.contexts = ([int(n) for n in text.split(",")] for text in (a.lengths, a.contexts))
    a.all = os.sched_getaffinity(0)
    a.one = a.all if a.cpu is None else {a.cpu}
    size = (Path(a.llama) / "model.safetensors").stat().st_size / 1e6
    print(f"{cpu_name()}, {a.turns} turns\n\n| what | measured | ratio | peak of memory, MB |\n| --- | --- | --- | --- |")
    for part in a.parts.split(","):
        cases = PARTS[part](a)
        if part == "load":
            for case in cases:
                case.run()
        measure(cases, a.turns)
        for case in cases:
            peak = f"{statistics.median(case.peaks):.0f}"
            peak += f", {statistics.median(case.peaks) / size:.2f} times the file" if part == "load" else ""
            measured = f"{statistics.median(case.values):.4g} {case.unit}"
            print(f"| {case.name} | {measured} | {compared(case, cases)} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
