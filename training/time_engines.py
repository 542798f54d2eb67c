"""Time prefill and decode of one model on the CPU: Whittle, PyTorch and llama.cpp in turns, in one run.

usage: python time_engines.py /tmp/smollm2 --bench ../target/fast/deps/models-HASH [--llama-bench PATH --gguf F16.gguf]
       [--gguf-q8 Q8.gguf [--int8 SPEC]...] [--prune SPEC]... [--turns 5] [--prompt 512] [--decode 32] [--cpu 1]
       [--torch f32,bf16] [--bf16] [--busy]

Whittle is the program that `cargo bench --profile fast --bench models --no-run` builds. llama-bench comes from the source
that PyPI's llama-cpp-python carries (cmake -DGGML_NATIVE=ON, target llama-bench), its files from convert_hf_to_gguf.py
there; shape_models.py makes Mambas for all three. PyTorch runs transformers' class in eager mode with its cache (of Mamba
a slow scan: --torch "" leaves it out). All of them use one thread, on one core where --cpu names it. A turn is every
engine once, each in a process of its own, in an order that turns round; an engine reads the prompt of random tokens once
to warm up and then once for the figure, and decodes after it. Weights are f16 in Whittle and llama.cpp. In the second file
they are q8_0, whole numbers of 8 bits with a scale for every 32, and Whittle runs beside it rounded in the same way, or as
--int8 says; it keeps embedding and head in f16, llama.cpp does not. --prune adds Whittle with a compressed form, for
example magnitude:pattern=2:4. --bf16 adds Whittle with --arithmetic bf16, and PyTorch in bf16 is set beside that too.
--busy is for a core that others use too: CPU seconds in place of those on the wall, of llama-bench what more repetitions
(prefill) and more tokens (decode) take of the whole process.

Prints Markdown: the median of the turns in seconds and milliseconds, and how many times as long the other engine takes as
Whittle with the same storage, formed within a turn: median, smallest and largest; then how many times as fast as f16 the
compressed forms are.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def whittle(a: argparse.Namespace, spec: str | None, arithmetic: str = "f32") -> tuple[float, float]:
    command = [a.bench, a.model, "--prompt", a.prompt, "--decode", a.decode, "--rounds", 1, "--threads", 1]
    command += ["--prune", spec] if spec else []
    command += ["--arithmetic", arithmetic] if arithmetic != "f32" else []
    out = json.loads(subprocess.run([str(w) for w in command], check=True, capture_output=True, text=True).stdout)
    return (out["prefill_cpu_s"], out["decode_cpu_ms"]) if a.busy else (out["prefill_s"], out["decode_ms"])


def cpu_seconds(command: list[object]) -> float:
    process = subprocess.Popen([str(w) for w in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} ended with status {status}; run it by hand to see why")
    return used.ru_utime + used.ru_stime


def llama_busy(program: str, gguf: str, prompt: int, decode: int) -> tuple[float, float]:
    command = [program, "-m", gguf, "-t", 1]
    once, thrice = (cpu_seconds([*command, "-p", prompt, "-n", 0, "-r", r]) for r in (1, 3))
    few, more = (cpu_seconds([*command, "-p", 0, "-n", n, "-d", prompt, "-r", 1]) for n in (decode, 3 * decode))
    return (thrice - once) / 2, (more - few) / (2 * decode) * 1e3


def llama(program: str, gguf: str, prompt: int, decode: int) -> tuple[float, float]:
    def seconds(*what: object) -> float:
        command = [program, "-m", gguf, "-t", 1, "-r", 1, "-o", "json", *what]
        out = subprocess.run([str(w) for w in command], check=True, capture_output=True, text=True).stdout
        return json.loads(out)[0]["avg_ns"] / 1e9

    prefill = seconds("-p", prompt, "-n", 0)
    # -d: tokens that are in the cache before the decoding that is timed.
    return prefill, seconds("-p", 0, "-n", decode, "-d", prompt) / decode * 1e3


def torch_side(model: str, prompt: int, decode: int, precision: str, busy: bool) -> tuple[float, float]:
    """In this process; see --torch-worker."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    clock = time.process_time if busy else time.perf_counter
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    net = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
    ids = torch.randint(0, net.config.vocab_size, (1, prompt), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for _ in range(2):
            start = clock()
            out = net(ids, use_cache=True, logits_to_keep=1)
            prefill = clock() - start
        name = "cache_params" if "mamba" in net.config.model_type else "past_key_values"
        cache, next_id = out[name], ids[:, :1]
        start = clock()
        for _ in range(decode):
            out = net(next_id, use_cache=True, **{name: cache})
            cache = out[name]
        return prefill, (clock() - start) / decode * 1e3


def torch_worker(arguments: argparse.Namespace, precision: str) -> tuple[float, float]:
    command = [sys.executable, __file__, arguments.model, "--torch-worker", precision]
    command += ["--prompt", str(arguments.prompt), "--decode", str(arguments.decode)]
    command += ["--busy"] if arguments.busy else []
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    prefill, decode = json.loads(out.splitlines()[-1])
    return prefill, decode


OURS = "Whittle, f16"
OURS_BF16 = "Whittle, f16, bf16 arithmetic"


@dataclass
class Side:
    run: Callable[[], tuple[float, float]]
    against: list[str] = field(default_factory=lambda: [OURS])
    times: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))


def engines(a: argparse.Namespace) -> dict[str, Side]:
    found = {OURS: Side(lambda: whittle(a, None))}
    if a.bf16:
        found[OURS_BF16] = Side(lambda: whittle(a, None, "bf16"))
    timed = llama_busy if a.busy else llama
    int8 = (a.int8 or ["rtn:bits=8,group=32"]) if a.gguf_q8 else []
    for spec in [*int8, *a.prune]:
        found[f"Whittle, {spec}"] = Side(lambda spec=spec: whittle(a, spec))
    for precision in filter(None, a.torch.split(",")):
        found[f"PyTorch {precision}, eager"] = Side(lambda precision=precision: torch_worker(a, precision))
        if a.bf16 and precision == "bf16":
            found[f"PyTorch {precision}, eager"].against.append(OURS_BF16)
    for name, gguf, ours in [("f16", a.gguf, [OURS]), ("q8_0", a.gguf_q8, [f"Whittle, {spec}" for spec in int8])]:
        if a.llama_bench and gguf:
            found[f"llama.cpp {name}"] = Side(lambda gguf=gguf: timed(a.llama_bench, gguf, a.prompt, a.decode), ours)
    return found


def ratio(theirs: list[float], ours: list[float]) -> str:
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def row(name: str, side: Side, compared: list[str]) -> str:
    prefill, decode = (statistics.median(times) for times in side.times)
    return f"| {name} | {prefill:.3f} | {compared[0]} | {decode:.1f} | {compared[1]} |"


def table(sides: dict[str, Side]) -> None:
    head = "| engine | prefill, s | {0} | decode, ms a token | {0} |\n| --- | --- | --- | --- | --- |"
    print(head.format("as long as Whittle"))
    for name, side in sides.items():
        if name.startswith("Whittle"):
            print(row(name, side, ["", ""]))
            continue
        for base in side.against:
            label = name if base == OURS else f"{name}, beside {base}"
            compared = [ratio(theirs, own) for theirs, own in zip(side.times, sides[base].times, strict=True)]
            print(row(label, side, compared))
    forms = {name: side for name, side in sides.items() if name.startswith("Whittle") and name != OURS}
    if forms:
        print("\n" + head.format("times as fast as f16"))
    for name, side in forms.items():
        dense = sides[OURS].times
        print(row(name, side, [ratio(slow, fast) for slow, fast in zip(dense, side.times, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--bench", help="the built program of benches/models.rs")
    parser.add_argument("--llama-bench")
    parser.add_argument("--gguf")
    parser.add_argument("--gguf-q8")
    parser.add_argument("--int8", action="append", metavar="SPEC", help="Whittle beside --gguf-q8: rtn:bits=8,group=32")
    parser.add_argument("--prune", action="append", default=[], metavar="SPEC", help="a compressed form of Whittle's")
    parser.add_argument("--bf16", action="store_true", help="Whittle with bf16 arithmetic too")
    parser.add_argument("--busy", action="store_true", help="CPU seconds: others use the core too")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--cpu", type=int, help="the core that everything runs on")
    parser.add_argument("--torch", default="f32", help="f32, bf16, both with a comma, or nothing")
    parser.add_argument("--torch-worker", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.torch_worker:
        print(json.dumps(torch_side(a.model, a.prompt, a.decode, a.torch_worker, a.busy)))
        return
    if not a.bench:
        parser.error("--bench: expected the program that `cargo bench --profile fast --bench models --no-run` built")
    if a.cpu is not None:
        os.sched_setaffinity(0, {a.cpu})
    sides = engines(a)
    for turn in range(a.turns):
        names = list(sides)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            prefill, decode = sides[name].run()
            sides[name].times[0].append(prefill)
            sides[name].times[1].append(decode)
            print(f"turn {turn + 1}: {name}: {prefill:.3f} s, {decode:.1f} ms", file=sys.stderr)
    clock = "CPU seconds" if a.busy else "wall clock"
    print(f"{cpu_name()}, one thread, {clock}, {a.turns} turns, {a.prompt} tokens of prompt, {a.decode} decoded\n")
    table(sides)


if __name__ == "__main__":
    main()
