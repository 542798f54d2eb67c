"""Time prefill and decode of one transformer on the CPU: Whittle, PyTorch and llama.cpp in turns, in one run.

usage: python time_engines.py /tmp/smollm2 --bench ../target/fast/deps/models-HASH [--llama-bench PATH --gguf F16.gguf]
       [--gguf-q8 Q8.gguf] [--turns 5] [--prompt 512] [--decode 32] [--cpu 1] [--torch f32,bf16]

Whittle is the program that `cargo bench --profile fast --bench models --no-run` builds. llama-bench comes from the source
that PyPI's llama-cpp-python carries (cmake -DGGML_NATIVE=ON, target llama-bench), its files from convert_hf_to_gguf.py
there. PyTorch runs transformers' class in eager mode with its cache. All of them use one thread, on one core where --cpu
names it. A turn is every engine once, each in a process of its own, in an order that turns round; an engine reads the
prompt of random tokens once to warm up and then once for the figure, and decodes after it. Weights are f16 in Whittle
and llama.cpp, q8_0 in the second file.

Prints a Markdown table: the median of the turns in seconds and milliseconds, and how many times as long the other engine
takes as Whittle, formed within a turn: median, smallest and largest.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def whittle(program: str, model: str, prompt: int, decode: int) -> tuple[float, float]:
    command = [program, model, "--prompt", prompt, "--decode", decode, "--rounds", 1, "--threads", 1]
    out = json.loads(subprocess.run([str(w) for w in command], check=True, capture_output=True, text=True).stdout)
    return out["prefill_s"], out["decode_ms"]


def llama(program: str, gguf: str, prompt: int, decode: int) -> tuple[float, float]:
    def seconds(*what: object) -> float:
        command = [program, "-m", gguf, "-t", 1, "-r", 1, "-o", "json", *what]
        out = subprocess.run([str(w) for w in command], check=True, capture_output=True, text=True).stdout
        return json.loads(out)[0]["avg_ns"] / 1e9

    prefill = seconds("-p", prompt, "-n", 0)
    # -d: tokens that are in the cache before the decoding that is timed.
    return prefill, seconds("-p", 0, "-n", decode, "-d", prompt) / decode * 1e3


def torch_side(model: str, prompt: int, decode: int, precision: str) -> tuple[float, float]:
    """In this process; see --torch-worker."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    net = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
    ids = torch.randint(0, net.config.vocab_size, (1, prompt), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for _ in range(2):
            start = time.perf_counter()
            out = net(ids, use_cache=True, logits_to_keep=1)
            prefill = time.perf_counter() - start
        cache, next_id = out.past_key_values, ids[:, :1]
        start = time.perf_counter()
        for _ in range(decode):
            out = net(next_id, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
        return prefill, (time.perf_counter() - start) / decode * 1e3


def torch_worker(arguments: argparse.Namespace, precision: str) -> tuple[float, float]:
    command = [sys.executable, __file__, arguments.model, "--torch-worker", precision]
    command += ["--prompt", str(arguments.prompt), "--decode", str(arguments.decode)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    prefill, decode = json.loads(out.splitlines()[-1])
    return prefill, decode


def engines(a: argparse.Namespace) -> dict:
    found = {"Whittle, f16": lambda: whittle(a.bench, a.model, a.prompt, a.decode)}
    for precision in filter(None, a.torch.split(",")):
        found[f"PyTorch {precision}, eager"] = lambda precision=precision: torch_worker(a, precision)
    for name, gguf in [("f16", a.gguf), ("q8_0", a.gguf_q8)]:
        if a.llama_bench and gguf:
            found[f"llama.cpp {name}"] = lambda gguf=gguf: llama(a.llama_bench, gguf, a.prompt, a.decode)
    return found


def ratio(theirs: list[float], ours: list[float]) -> str:
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--bench", help="the built program of benches/models.rs")
    parser.add_argument("--llama-bench")
    parser.add_argument("--gguf")
    parser.add_argument("--gguf-q8")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--cpu", type=int, help="the core that everything runs on")
    parser.add_argument("--torch", default="f32", help="f32, bf16, both with a comma, or nothing")
    parser.add_argument("--torch-worker", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.torch_worker:
        print(json.dumps(torch_side(a.model, a.prompt, a.decode, a.torch_worker)))
        return
    if not a.bench:
        parser.error("--bench: expected the program that `cargo bench --profile fast --bench models --no-run` built")
    if a.cpu is not None:
        os.sched_setaffinity(0, {a.cpu})
    sides = engines(a)
    times = {name: ([], []) for name in sides}
    for turn in range(a.turns):
        names = list(sides)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for kept, value in zip(times[name], sides[name](), strict=True):
                kept.append(value)
            print(f"turn {turn + 1}: {name}: {times[name][0][-1]:.3f} s, {times[name][1][-1]:.1f} ms", file=sys.stderr)
    ours = times["Whittle, f16"]
    print(f"{cpu_name()}, one thread, {a.turns} turns, {a.prompt} tokens of prompt, {a.decode} decoded\n")
    print("| engine | prefill, s | as long as Whittle | decode, ms a token | as long as Whittle |\n| --- | --- | --- | --- | --- |")
    for name, (prefill, decode) in times.items():
        compared = ["", ""] if name.startswith("Whittle") else [ratio(prefill, ours[0]), ratio(decode, ours[1])]
        print(f"| {name} | {statistics.median(prefill):.3f} | {compared[0]} | {statistics.median(decode):.1f} | {compared[1]} |")


if __name__ == "__main__":
    main()
