"""Writes models/index.json: what is bundled, with sizes and hashes.  usage: python training/make_index.py

The engine has the index compiled in and refuses a file whose hash differs.
"""

import hashlib
import json
import struct
from pathlib import Path

MODELS = Path(__file__).parent.parent / "models"

# id -> (label, evaluations that make sense, the first by default)
BUNDLED = {
    "lm-mamba2": ("Mamba-2, English prose", ["continuation", "text", "cloze"]),
    "lm-mamba": ("Mamba-1, English prose", ["continuation", "text", "cloze"]),
    "lm-llama": ("Llama, English prose", ["continuation", "text", "cloze"]),
    "recall-mamba2": ("Mamba-2, recall in noise", ["recall"]),
    "recall-mamba": ("Mamba-1, recall in noise", ["recall"]),
    "recall-llama": ("Llama, recall in noise", ["recall"]),
    "copy-mamba2": ("Mamba-2, copying and induction", ["copy", "induction"]),
    "copy-mamba": ("Mamba-1, copying and induction", ["copy", "induction"]),
    "copy-llama": ("Llama, copying and induction", ["copy", "induction"]),
}
PROSE = (
    "It was a fine evening, and the whole party walked out together along the road to the village. "
    "Mr. Weston had promised to call upon his neighbours before dinner, and Emma, who had not seen her "
    "friend since the morning, was very glad to go with him. They had not gone far before they met"
)
RECALL = (
    "n03 n11 n04 k07 v12 n00 n15 n02 n09 k21 v30 n05 n01 n13 n06 k02 v04 n10 n12 n08 n14 k30 v19 n07 n03 "
    "n00 n11 n02 n15 n04 n09 k13 v27 n05 n01 n06 n13 n10 ? k21"
)
COPY = (
    "n03 n11 n04 d07 n00 n15 n02 n09 d21 n05 n01 n13 n06 d02 n10 n12 n08 n14 d30 n07 n03 n00 n11 n02 n15 n04 n09 d13 n05 "
    "n01 n06 n13 n10 d19 n12 n02 ?"
)
# first part of the id -> (prompt, tokens generated after it, calibration file)
KINDS = {
    "lm": (PROSE, 48, "calibration.txt"),
    "recall": (RECALL, 1, "recall_calibration.txt"),
    "copy": (COPY, 6, "copy_calibration.txt"),
}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parameters(path):
    """Elements of every tensor of a safetensors file, from its header."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            count = 1
            for size in tensor["shape"]:
                count *= size
            total += count
    return total


def main():
    models = []
    for name, (label, evaluations) in BUNDLED.items():
        folder = MODELS / name
        prompt, tokens, calibration = KINDS[name.split("-")[0]]
        files = ["config.json", "model.safetensors", "tokenizer.json", "card.md"]
        models.append(
            {
                "id": name,
                "label": label,
                "family": json.loads((folder / "config.json").read_text())["model_type"],
                "parameters": parameters(folder / "model.safetensors"),
                "bytes": (folder / "model.safetensors").stat().st_size,
                "evaluations": evaluations,
                "prompt": prompt,
                "tokens": tokens,
                "calibration": calibration,
                "files": {file: sha256(folder / file) for file in files},
            }
        )
    paths = sorted((MODELS / "eval").rglob("*.jsonl")) + sorted((MODELS / "eval").rglob("*.txt"))
    evaluation = {str(path.relative_to(MODELS / "eval")): sha256(path) for path in paths}
    index = {"models": models, "eval": evaluation}
    (MODELS / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
