"""Random weights in the shape of a model, as files for Whittle and PyTorch (f16 safetensors) and for llama.cpp (f16 GGUF).

usage: python shape_models.py OUT [--shapes mamba-130m,mamba2-130m] [--seed 1] [--llama-cpp SOURCE]

Writes OUT/NAME/config.json and OUT/NAME/model.safetensors, and with --llama-cpp OUT/NAME.gguf. The shapes are those of
src/session/shapes; the values are what transformers' class begins its training with, so nothing grows or dies out, and
what such a model says means nothing. SOURCE is llama.cpp's own folder (the source of llama-cpp-python on PyPI has it as
vendor/llama.cpp); its convert_hf_to_gguf.py reads the f16 file, so all engines have the same weights. Where a model has no
tokenizer the converter takes that of GPT-NeoX, which no timing reads.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

SHAPES = Path(__file__).parent.parent / "src" / "session" / "shapes"


def make(name: str, seed: int, folder: Path) -> None:
    import json

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    fields = json.loads((SHAPES / f"{name}.json").read_text())
    fields.pop("dtype")
    torch.manual_seed(seed)
    net = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields))
    net.half().save_pretrained(folder)


def convert(source: str, folder: Path, gguf: Path) -> None:
    command = [sys.executable, f"{source}/convert_hf_to_gguf.py", folder, "--outtype", "f16", "--outfile", gguf]
    packages = {**os.environ, "PYTHONPATH": f"{source}/gguf-py"}
    subprocess.run([str(w) for w in command], check=True, env=packages, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shapes", default="mamba-130m,mamba2-130m", help="names of files in src/session/shapes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--llama-cpp", help="its source; without it no GGUF is written")
    a = parser.parse_args()
    for name in a.shapes.split(","):
        make(name, a.seed, a.out / name)
        print(a.out / name)
        if a.llama_cpp:
            convert(a.llama_cpp, a.out / name, a.out / f"{name}.gguf")
            print(a.out / f"{name}.gguf")


if __name__ == "__main__":
    main()
