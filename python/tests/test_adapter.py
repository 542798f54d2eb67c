"""The adapter under lm_eval itself, on tiny local tasks with a bundled model, against lm_eval's Hugging Face class.

    python -m pytest python/tests        (WHITTLE=PATH of the program, default target/debug/whittle)
"""

import json
import os
import sys
from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from whittle_lm_eval import WhittleLM
from whittle_lm_eval.model import generation
from whittle_lm_eval.server import Server, WhittleError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training"))
import make_harness_fixtures as fixtures  # noqa: E402

WHITTLE = str(Path(os.environ.get("WHITTLE", ROOT / "target/debug/whittle")).resolve())
MODEL = str(ROOT / "models/lm-llama")
N = 12

TASKS = {
    "tiny_choice": """
dataset_kwargs: {{data_files: {{validation: {file}}}}}
output_type: multiple_choice
doc_to_text: "Question: {{{{goal}}}}\\nAnswer:"
doc_to_target: label
doc_to_choice: "{{{{[sol1, sol2]}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
""",
    "tiny_rolling": """
dataset_kwargs: {{data_files: {{validation: {file}}}}}
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{page}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: byte_perplexity}}, {{metric: bits_per_byte}}]
""",
    "tiny_text": """
dataset_kwargs: {{data_files: {{validation: {file}}}}}
output_type: generate_until
doc_to_text: "{{{{text}}}}"
doc_to_target: " the"
generation_kwargs: {{until: [".", ","], max_gen_toks: 16, do_sample: false}}
metric_list: [{{metric: exact_match}}]
""",
}
DATA = {"tiny_choice": "piqa", "tiny_rolling": "wikitext", "tiny_text": "lambada"}


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    for task, text in TASKS.items():
        rows = fixtures.rows(DATA[task])[:N]
        file = folder / f"{task}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        head = f"task: {task}\ndataset_path: json\nvalidation_split: validation\nmetadata: {{version: 1.0}}"
        (folder / f"{task}.yaml").write_text(head + text.format(file=file))
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.fixture(scope="module")
def dense():
    return WhittleLM(MODEL, program=WHITTLE)


def evaluate(model, manager):
    return simple_evaluate(model=model, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0, log_samples=True)


def figures(found):
    return {task: {k: v for k, v in values.items() if isinstance(v, float)} for task, values in found["results"].items()}


def test_a_dense_model_has_the_figures_of_the_hugging_face_class(manager, dense):
    ours, theirs = evaluate(dense, manager), evaluate(fixtures.load(ROOT / "models/lm-llama"), manager)
    for task, values in figures(theirs).items():
        assert values and set(values) == set(figures(ours)[task])
        for name, value in values.items():
            # To four places as lm_eval prints it; of large figures to what float32 sums in another order leave.
            assert figures(ours)[task][name] == pytest.approx(value, abs=5e-5, rel=1e-7), (task, name)
    texts = [[s["filtered_resps"] for s in found["samples"]["tiny_text"]] for found in (ours, theirs)]
    assert texts[0] == texts[1]
    assert len({str(text) for text in texts[0]}) > 1


def test_model_arguments_compress(manager, dense):
    arguments = f"model={MODEL},program={WHITTLE},prune=mrp:pattern=2:4;mask=M,reduce=utrc:cut=0.2,threads=1"
    small = WhittleLM.create_from_arg_string(arguments, dict(batch_size=1, max_batch_size=None, device=None))
    assert (small.hello["prune"], small.hello["reduce"]) == ("mrp:pattern=2:4,mask=M", "utrc")
    assert small.tokenizer_name != dense.tokenizer_name
    ours, theirs = figures(evaluate(small, manager)), figures(evaluate(dense, manager))
    worse = [ours["tiny_rolling"][k] > theirs["tiny_rolling"][k] for k in theirs["tiny_rolling"]]
    assert worse and all(worse), "half of the weights are gone"


def test_errors_are_the_servers_own_words(dense):
    with pytest.raises(WhittleError, match="at most 4096"):
        dense.server.ask("generate_until", context="a", max_tokens=100_000)
    assert dense.server.ask("loglikelihood", pairs=[]) == []
    with pytest.raises(WhittleError, match="did not start"):
        Server("/nowhere/whittle", [])
    with pytest.raises(WhittleError, match="exit code 2"):
        Server(WHITTLE, ["--model", MODEL, "--prune", "no-such-method"])


def test_generation_settings_that_are_not_known_are_refused():
    assert generation(dict(until="\n", max_gen_toks=5, do_sample=False, temperature=0.8)) == dict(
        until=["\n"], max_tokens=5, temperature=0.0
    )
    assert generation({}) == dict(until=[], max_tokens=256, temperature=0.0)
    assert generation(dict(do_sample=True))["temperature"] == 1.0
    with pytest.raises(ValueError, match="top_p"):
        generation(dict(top_p=0.9))
