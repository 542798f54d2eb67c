"""`whittle run --json` from Python, remembering what was measured before.

The memory knows a model by the hash of its weights and an evaluation by the hashes of its files, but not the code: remove it after a change of
the arithmetic.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"


class Whittle:
    def __init__(self, binary: Path, memory: Path):
        self.binary, self.path = binary, memory
        self.memory = json.loads(memory.read_text()) if memory.exists() else {}
        index = json.loads((MODELS / "index.json").read_text())
        self.weights = {m["id"]: m["files"]["model.safetensors"][:16] for m in index["models"]}
        self.data = index["eval"]

    def run(self, model: str, evaluation: str, reduce: str = "off", prune: str = "off") -> dict:
        """metric -> {baseline, compressed, change, items}; the first three {value, low, high, n}."""
        files = sorted(v[:8] for k, v in self.data.items() if k.startswith(("heldout",) if evaluation.startswith("text") else evaluation.split(":")[0]))
        key = " ".join([self.weights[model], evaluation, reduce, prune, *files])
        if key not in self.memory:
            self.memory[key] = self.measure(model, evaluation, reduce, prune)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.memory))
        return self.memory[key]

    def measure(self, model: str, evaluation: str, reduce: str, prune: str) -> dict:
        command = [str(self.binary), "run", "--model", model, "--backend", "cpu", "--tokens", "1", "--json"]
        command += ["--eval", evaluation, "--reduce", reduce, "--prune", prune]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}After a change of models/index.json the command must be built again.")
        return {q["metric"]: q for q in json.loads(done.stdout)["quality"]}
