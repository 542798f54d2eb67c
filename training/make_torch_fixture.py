"""Writes tests/fixtures/torch: one state dict as torch.save writes it, in each of its forms, and what torch says is in it.

    python3 training/make_torch_fixture.py tests/fixtures/torch
"""

import json
import sys
from collections import OrderedDict
from pathlib import Path

import torch


def state_dict():
    plain = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7 - 1
    tensors = OrderedDict()
    tensors["single"] = torch.nn.Parameter(plain.clone())
    tensors["double"] = plain.double() * 3
    tensors["half"] = plain.half()
    tensors["brain"] = plain.bfloat16()
    tensors["whole.long"] = torch.tensor([-(2**40), 0, 2**40])
    tensors["whole.int"] = torch.tensor([[-70000, 70000]], dtype=torch.int32)
    tensors["whole.short"] = torch.tensor([-300, 300], dtype=torch.int16)
    tensors["whole.char"] = torch.tensor([-128, 127], dtype=torch.int8)
    tensors["whole.byte"] = torch.tensor([0, 255], dtype=torch.uint8)
    tensors["yes"] = torch.tensor([True, False, True])
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 3)
    shared = plain.clone()
    tensors["view.turned"] = shared.t()
    tensors["view.column"] = shared[:, 2]
    tensors["view.rows"] = shared[1:3]
    tensors["view.turned_block"] = shared.reshape(2, 2, 6).permute(2, 0, 1)
    return tensors


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tensors = state_dict()
    torch.save(tensors, folder / "zip.bin")
    torch.save(tensors, folder / "zip-protocol4.bin", pickle_protocol=4)
    torch.save(tensors, folder / "older.bin", _use_new_zipfile_serialization=False)
    described = {
        name: {"shape": list(t.shape), "values": t.detach().double().flatten().tolist()} for name, t in tensors.items()
    }
    text = json.dumps({"source": f"torch {torch.__version__}", "tensors": described})
    (folder / "expected.json").write_text(text + "\n")


main()
