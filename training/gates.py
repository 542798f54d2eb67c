"""Check that each bundled model is worth showing.

usage: python gates.py [MODEL ...] [--whittle ../target/fast/whittle]

Figures come from `whittle run` (flatness from the training log). Prints one line a gate; ends with 1 if one fails. cards.py writes the same
lines into the cards. Gates: task models right in 98 % at the stated level; magnitude at 50 % loses 10 points or 10 % of perplexity on some
task of the page (which the dense model does right in 90 %), and a better method at most three quarters of that; without a random 30 % of the context recall loses 10 points or more,
without 30 % of filler at most one item in 100; the last fifth of a language model's tokens improved held-out loss by less than 2 %; 256
tokens of context are worth 0.15 nats a token.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from cases import BETTER, MAGNITUDE, SOME_CONTINUATION, TEXT, kind, stated, task_evaluations
from whittle_run import MODELS, ROOT, Whittle

RIGHT, ABLE, LOST, LEAST_BENEFIT, FLAT, NOTHING, VISIBLY_LESS = 0.98, 0.90, 0.10, 0.15, 0.02, 0.01, 0.75
LOGS = Path(__file__).resolve().parent / "logs"


@dataclass
class Gate:
    name: str
    passed: bool | None  # None: no gate, or nothing here to tell by
    figures: str

    def line(self) -> str:
        word = {True: "pass", False: "FAIL", None: "no gate"}[self.passed]
        return f"{word}: {self.name}. {self.figures}"


def right_when_dense(w: Whittle, model: str) -> list[Gate]:
    out = []
    for evaluation in stated(model):
        q = w.run(model, evaluation)["accuracy"]["baseline"]
        name = f"dense accuracy of at least 98 % ({evaluation.split(',')[0]})"
        out.append(Gate(name, q["value"] >= RIGHT, f'{q["value"]:.1%} of {q["n"]} items'))
    return out


def loss(w: Whittle, model: str, evaluation: str, reduce: str, prune: str) -> float:
    """Points of accuracy lost as a share, or the relative rise of perplexity."""
    quality = w.run(model, evaluation, reduce, prune)
    if "perplexity" in quality:
        q = quality["perplexity"]
        return q["compressed"]["value"] / q["baseline"]["value"] - 1
    return 0.0 - quality["accuracy"]["change"]["value"]


def able(w: Whittle, model: str, evaluation: str) -> bool:
    return w.run(model, evaluation)["accuracy"]["baseline"]["value"] >= ABLE


def pruning_shows(w: Whittle, model: str) -> Gate:
    # A loss tells something only where the dense model could do the task.
    evaluations = [TEXT, SOME_CONTINUATION] if kind(model) == "lm" else [e for e in task_evaluations(model) if able(w, model, e)]
    lost = {e: loss(w, model, e, "off", MAGNITUDE) for e in evaluations}
    worst = max(lost, key=lost.get)
    rest = {label: loss(w, model, worst, reduce, prune) for label, reduce, prune in BETTER}
    best = min(rest, key=rest.get)
    unit = "of perplexity" if worst == TEXT else "of the answers"
    figures = f"magnitude loses {lost[worst]:.1%} {unit} on {worst.split(',')[0]}, {best} {max(rest[best], 0.0):.1%}"
    passed = lost[worst] >= LOST and rest[best] <= VISIBLY_LESS * lost[worst]
    return Gate("magnitude at 50 % loses 10 points or 10 % of perplexity on some task, a better method at most three quarters of that", passed, figures)


def removal_shows(w: Whittle, model: str) -> Gate:
    evaluation = stated(model)[0]
    sides = [w.run(model, evaluation.replace(",", f"{what},", 1))["accuracy"]["baseline"] for what in ("", ",without=random", ",without=filler")]
    full, random, filler = (side["value"] for side in sides)
    # In whole items: as floats 0.01 is now more and now less than one in a hundred.
    items = sides[0]["n"]
    lost_without_filler = round((full - filler) * items)
    figures = f"{evaluation.split(',')[0]}: all of the context {full:.1%}, without a random 30 % {random:.1%}, without 30 % of filler {filler:.1%} ({lost_without_filler} of {items} items lost)"
    # Asked of recall alone: copying learns from how densely the data stand, which changes when filler goes.
    passed = full - random >= LOST and lost_without_filler <= NOTHING * items if kind(model) == "recall" else None
    return Gate("a random 30 % of the context missing costs 10 points or more, 30 % of filler at most one item in 100", passed, figures)


def flat(log: Path, tokens: int) -> Gate:
    """`tokens`: how many the bundled weights have seen; a log of more or less than that tells nothing of them."""
    name = "the last fifth of the training tokens improved held-out loss by less than 2 %"
    checks = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if not checks or abs(checks[-1]["tokens"] - tokens) > 0.02 * tokens:
        return Gate(name, None, f"Cannot be told: there is no {log.name} that ends at {tokens / 1e6:.1f}M tokens")
    first, last = checks[0]["tokens"], checks[-1]["tokens"]
    bend = min(checks, key=lambda c: abs(c["tokens"] - (last - last / 5)))
    gain = 1 - checks[-1]["mean"] / bend["mean"]
    figures = f'{gain:.2%}: {bend["mean"]:.3f} nats at {bend["tokens"] / 1e6:.1f}M tokens, {checks[-1]["mean"]:.3f} at {last / 1e6:.1f}M (log from {first / 1e6:.1f}M)'
    return Gate(name, gain < FLAT, figures)


def benefit(w: Whittle, model: str) -> Gate:
    q = w.run(model, TEXT)["context_benefit_nats"]["baseline"]
    return Gate("256 tokens of context are worth 0.15 nats a token or more", q["value"] >= LEAST_BENEFIT, f'{q["value"]:.3f} nats [{q["low"]:.3f}, {q["high"]:.3f}]')


def gates(w: Whittle, model: str) -> list[Gate]:
    if kind(model) == "lm":
        tokens = json.loads((MODELS / model / "training.json").read_text())["tokens"]
        return [pruning_shows(w, model), flat(LOGS / f"{model}.jsonl", tokens), benefit(w, model)]
    return [*right_when_dense(w, model), pruning_shows(w, model), removal_shows(w, model)]


def arguments(doc: str) -> tuple[argparse.Namespace, Whittle, list[str]]:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--whittle", type=Path, default=ROOT / "target/fast/whittle")
    parser.add_argument("--memory", type=Path, default=ROOT / "target/card-figures.json")
    args = parser.parse_args()
    w = Whittle(args.whittle, args.memory)
    return args, w, args.models or list(w.weights)


def main() -> None:
    args, w, models = arguments(__doc__)
    every = [(model, gate) for model in models for gate in gates(w, model)]
    for model, gate in every:
        print(f"{model:14} {gate.line()}")
    raise SystemExit(any(gate.passed is False for _, gate in every))


if __name__ == "__main__":
    main()
