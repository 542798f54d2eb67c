"""What is measured on each bundled model: evaluations, presets, and the levels of the generated tasks."""

from copy_task import COPY_LEVELS, INDUCTION_LEVELS
from recall_task import LEVELS, LONG_LEVELS

ALL = "n=2000"  # more items than any set has
TEXT = "text:windows=8,context=256,target=64"
CONTINUATION, CLOZE = "continuation:" + ALL, "cloze:" + ALL
SOME_CONTINUATION = "continuation:n=100"  # for the presets: a minute instead of four
MAGNITUDE = "magnitude:sparsity=0.5"

# label, --reduce, --prune
PRESETS = [
    ("Magnitude, 50 %", "off", MAGNITUDE),
    ("Wanda, 50 %", "off", "wanda:sparsity=0.5"),
    ("SparseGPT, 50 %", "off", "sparsegpt:sparsity=0.5"),
    ("MRP, 50 %", "off", "mrp:sparsity=0.5"),
    ("Magnitude, 2:4", "off", "magnitude:pattern=2:4"),
    ("SparseGPT, 2:4", "off", "sparsegpt:pattern=2:4"),
    ("UTRC, cut 20 %", "utrc:cut=0.2", "off"),
    ("Random tokens, cut 20 %", "random:cut=0.2", "off"),
]
BETTER = [p for p in PRESETS if p[0] in ("Wanda, 50 %", "SparseGPT, 50 %", "MRP, 50 %")]
# The level at which a task model must be right.
STATED = {"recall": ["recall:level=hard"], "copy": ["copy:level=hard", "induction:level=hard"]}


def kind(model: str) -> str:
    """lm, recall or copy."""
    return model.split("-")[0]


def task_evaluations(model: str) -> list[str]:
    levels = {"recall": {"recall": [*LEVELS, *LONG_LEVELS]}, "copy": {"copy": COPY_LEVELS, "induction": INDUCTION_LEVELS}}[kind(model)]
    return [f"{task}:level={level},{ALL}" for task, names in levels.items() for level in names]


def stated(model: str) -> list[str]:
    return [f"{evaluation},{ALL}" for evaluation in STATED[kind(model)]]


def dense_evaluations(model: str) -> list[str]:
    return [TEXT, CONTINUATION, CLOZE] if kind(model) == "lm" else task_evaluations(model)


def preset_evaluations(model: str) -> list[str]:
    return [TEXT, SOME_CONTINUATION] if kind(model) == "lm" else stated(model)


def reference_evaluations(model: str) -> list[str]:
    """Those of the presets that score every item, so that the reference can score the same."""
    return [e for e in preset_evaluations(model) if e != SOME_CONTINUATION]
