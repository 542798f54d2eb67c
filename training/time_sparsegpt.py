"""Time SparseGPT on one model: PyTorch and Whittle in turns, in one run.

usage: python time_sparsegpt.py [/tmp/smollm2] [--whittle ../target/fast/whittle] [--turns 2] [--threads N]

The PyTorch side is written from the published description (Frantar & Alistarh 2023, algorithm 1, and its layer-by-layer
order): for every decoder layer one forward pass of all calibration sequences that gathers 2XX^T for every linear layer,
then the sweep in blocks of 128 columns with one threshold a block, then a second pass with the pruned weights. float32,
50 %, damping 1 %, 16 x 512 tokens of ../models/eval/calibration.txt.

Both times are from a loaded model to pruned weights: loading and writing are left out of both. Whittle's also holds
the error of every matrix on calibration and held-out tokens, which the PyTorch side does not compute. Prints seconds
of every turn and the ratio of the medians; held-out loss of both as a check that the same thing was done.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parent.parent
SEQUENCES, TOKENS, BLOCK, SPARSITY, DAMPING = 16, 512, 128, 0.5, 0.01


class Products:
    """2 X X^T of the inputs of one linear layer, running mean over sequences."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        self.sum = torch.zeros(linear.in_features, linear.in_features)
        self.seen = 0

    def add(self, module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        x = inputs[0].reshape(-1, inputs[0].shape[-1])
        self.sum *= self.seen / (self.seen + 1)
        self.seen += 1
        self.sum.addmm_(x.T, x, alpha=2 / self.seen)


def prune(linear: torch.nn.Linear, h: torch.Tensor) -> None:
    w = linear.weight.data
    n = w.shape[1]
    dead = h.diagonal() == 0
    h[dead, dead] = 1.0
    w[:, dead] = 0.0
    h += DAMPING * h.diagonal().mean() * torch.eye(n)
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        part, small = w[:, start:end].clone(), u[start:end, start:end]
        scores = part**2 / small.diagonal() ** 2
        mask = scores <= scores.flatten().sort().values[int(scores.numel() * SPARSITY)]
        errors = torch.zeros_like(part)
        for j in range(end - start):
            column = part[:, j]
            error = torch.where(mask[:, j], column, torch.zeros(())) / small[j, j]
            part[:, j:] -= torch.outer(error, small[j, j:])
            errors[:, j] = error
        part[mask] = 0.0
        w[:, start:end] = part
        w[:, end:] -= errors @ u[start:end, end:]


@torch.no_grad()
def in_torch(model: torch.nn.Module, sequences: list[torch.Tensor]) -> float:
    """Prunes every linear layer of the decoder layers in place; gives seconds."""
    start = time.perf_counter()
    caught: dict = {}

    class Stop(Exception):
        pass

    def catch(module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        caught["args"] = kwargs
        rows.append(args[0] if args else kwargs["hidden_states"])
        raise Stop

    rows: list[torch.Tensor] = []
    handle = model.model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    for ids in sequences:
        try:
            model(ids[None], use_cache=False)
        except Stop:
            pass
    handle.remove()
    arguments = {k: v for k, v in caught["args"].items() if k != "hidden_states"}

    def run(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        out = layer(x, **arguments)
        return out[0] if isinstance(out, tuple) else out

    for layer in model.model.layers:
        linears = [m for m in layer.modules() if isinstance(m, torch.nn.Linear)]
        products = [Products(linear) for linear in linears]
        handles = [linear.register_forward_hook(p.add) for linear, p in zip(linears, products)]
        for x in rows:
            run(layer, x)
        for handle in handles:
            handle.remove()
        for linear, p in zip(linears, products):
            prune(linear, p.sum)
        rows = [run(layer, x) for x in rows]
    return time.perf_counter() - start


@torch.no_grad()
def loss(model: torch.nn.Module, ids: torch.Tensor) -> float:
    return model(ids[None], labels=ids[None]).loss.item()


def in_whittle(args: argparse.Namespace, text: Path) -> tuple[float, Path, tempfile.TemporaryDirectory]:
    folder = tempfile.TemporaryDirectory()
    out = Path(folder.name) / "pruned"
    spec = f"sparsegpt:sparsity={SPARSITY},threshold=block,sequences={SEQUENCES}"
    command = [args.whittle, "prune", "--model", args.model, "--prune", spec, "--calibration", text, "--out", out]
    command += ["--threads", args.threads, "--json"]
    done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["milliseconds"] / 1000, out, folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="/tmp/smollm2")
    parser.add_argument("--whittle", type=Path, default=ROOT / "target/fast/whittle")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    text = ROOT / "models/eval/calibration.txt"
    ids = AutoTokenizer.from_pretrained(args.model)(text.read_text(), return_tensors="pt").input_ids[0]
    held_out, ids = ids[-TOKENS:], ids[:-TOKENS]
    step = (len(ids) - TOKENS) // SEQUENCES
    sequences = [ids[i * step : i * step + TOKENS] for i in range(SEQUENCES)]
    load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)  # noqa: E731
    torch_seconds, whittle_seconds = [], []
    for turn in range(args.turns):
        for side in ("torch", "whittle") if turn % 2 == 0 else ("whittle", "torch"):
            if side == "torch":
                model = load(args.model)
                torch_seconds.append(in_torch(model, sequences))
                torch_loss = loss(model, held_out)
                print(f"PyTorch {torch_seconds[-1]:.1f} s, {args.threads} threads, held-out loss {torch_loss:.3f}", flush=True)
                del model
            else:
                seconds, out, folder = in_whittle(args, text)
                whittle_seconds.append(seconds)
                whittle_loss = loss(load(out), held_out)
                folder.cleanup()
                print(f"Whittle {seconds:.1f} s, {args.threads} threads, held-out loss {whittle_loss:.3f}", flush=True)
    print(f"dense: held-out loss {loss(load(args.model), held_out):.3f}")
    ratio = statistics.median(whittle_seconds) / statistics.median(torch_seconds)
    print(f"Whittle / PyTorch: {ratio:.2f} (medians of {args.turns} turns)")


if __name__ == "__main__":
    main()
