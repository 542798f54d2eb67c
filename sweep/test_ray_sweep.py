"""ray_sweep.py on a real Ray cluster of two nodes on this machine, against `whittle sweep` without Ray.

    python -m pytest sweep/test_ray_sweep.py        (WHITTLE=PATH of the program, default target/debug/whittle)

Nothing waits for luck: a stand-in for the program stops at a chosen cell, once, until the test has killed what it wants to.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parent.parent
WHITTLE = str(Path(os.environ.get("WHITTLE", ROOT / "target/debug/whittle")).resolve())
SECONDS = 300  # to give up after

GRID = """
models = ["recall-mamba2", "recall-llama"]
eval = ["recall:n=4"]
reduce = ["off", "stride:cut=0.2", "random:cut=0.2"]
prune = ["off", "magnitude:sparsity=0.5"]
"""

# Passes lines on to a worker process. At the cell STOP, the first time, it says which process started it and waits until
# that one is gone.
STAND_IN = """#!{python}
import os, subprocess, sys
if "--worker" not in sys.argv:
    os.execv({whittle!r}, [{whittle!r}, *sys.argv[1:]])
child = subprocess.Popen([{whittle!r}, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
for line in sys.stdin:
    stop = {folder!r} + "/stopped-" + line.strip()
    if line.strip() in {stops!r} and not os.path.exists(stop):
        with open(stop + ".new", "w") as file:
            file.write(str(os.getppid()))
        os.rename(stop + ".new", stop)
        sys.stdin.read()
        break
    child.stdin.write(line)
    child.stdin.flush()
    print(child.stdout.readline(), end="", flush=True)
child.stdin.close()
"""


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, include_dashboard=False))
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def stand_in(folder, stops):
    program = folder / "stand-in"
    program.write_text(STAND_IN.format(python=sys.executable, whittle=WHITTLE, folder=str(folder), stops=stops))
    program.chmod(0o755)
    return str(program)


def driver(cluster, grid, out, program):
    command = [sys.executable, str(ROOT / "sweep/ray_sweep.py"), str(grid), "--out", str(out), "--program", program]
    return subprocess.Popen([*command, "--address", cluster.address], stderr=subprocess.PIPE, text=True)


def wait_for(state):
    """Asks until it is so."""
    end = time.monotonic() + SECONDS
    while not (found := state()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def whittle(*arguments):
    return subprocess.run([WHITTLE, "sweep", *map(str, arguments)], stdout=subprocess.PIPE, check=True).stdout


def points(file):
    """The lines without the time that they took."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted((json.dumps({**point, "ms": 0}) for point in found))


def test_worker_and_driver_killed_and_the_table_is_that_of_one_machine(cluster, tmp_path):
    grid, single, spread = (tmp_path / name for name in ("grid.toml", "single.jsonl", "spread.jsonl"))
    grid.write_text(GRID)
    program = stand_in(tmp_path, ["2", "7"])
    first = driver(cluster, grid, spread, program)
    # A worker is killed in the middle of a cell; the cell is measured by another one.
    stopped = tmp_path / "stopped-2"
    wait_for(lambda: stopped.exists() or first.poll() is not None)
    os.kill(int(stopped.read_text()), signal.SIGKILL)
    # The driver is killed in the middle of another cell; what was finished is there.
    wait_for(lambda: (tmp_path / "stopped-7").exists() or first.poll() is not None)
    wait_for(lambda: spread.read_bytes().count(b"\n") >= 3)
    first.kill()
    first.communicate()
    left = spread.read_bytes()
    done = left.count(b"\n")
    assert 3 <= done < 12
    spread.write_bytes(left + b'{"key":"cut sho')  # what a kill in the middle of a line would leave
    second = driver(cluster, grid, spread, program)
    _, said = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, said
    assert f"12 cells, {done} of them measured already" in said
    assert spread.read_bytes()[: len(left)] == left, "nothing that was there is changed"

    whittle(grid, "--out", single)
    assert whittle("table", spread) == whittle("table", single)
    assert points(spread) == points(single)
    assert len(points(spread)) == 12


def test_a_cell_that_fails_is_named_and_the_others_are_measured(cluster, tmp_path):
    grid, out = tmp_path / "grid.toml", tmp_path / "out.jsonl"
    # A score that a Llama has not.
    grid.write_text('models = ["recall-llama"]\neval = ["recall:n=4"]\nreduce = ["off", "evit:score=delta", "stride"]\n')
    run = driver(cluster, grid, out, WHITTLE)
    _, said = run.communicate(timeout=SECONDS)
    assert run.returncode == 2
    assert "not measured" in said and "score=delta" in said, said
    assert out.read_bytes().count(b"\n") == 2
