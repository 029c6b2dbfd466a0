"""What the commands answer: text for people, one document for programs, the same numbers in both."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merging_core.checkpoints.zoo import load_zoo
from merging_core.cli.main import build
from merging_core.cli.progress import ProgressLine
from merging_core.cli.targets import open_bench
from merging_core.engines.means import PROGRAM_BYTES
from merging_core.engines.progress import Standing
from merging_core.evaluation.percent import percent
from merging_core.methods.registry import methods, registry_as_json
from tests.cli.conftest import Run, Trio, Write, tensors
from tests.examples import ROOT

COMMANDS = [command.name for command in build().registered_commands]
RECIPE = {
    "version": 1,
    "base": "zoo:tiny/base",
    "models": [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/shapes"}],
    "method": {"name": "task_arithmetic"},
    "lambda": 0.5,
}


def test_no_arguments_ask_for_help(run: Run) -> None:
    answer = run()
    assert (answer.status, answer.err) == (0, "")
    assert all(f"  {name} " in answer.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(run: Run, command: str) -> None:
    answer = run(command, "--help")
    assert (answer.status, answer.err) == (0, "")
    assert "--json" in answer.out
    assert "╭" not in answer.out


def test_methods_are_those_of_the_registry(run: Run) -> None:
    assert run("methods", "--json").document == json.loads(json.dumps(registry_as_json()))
    text = run("methods").out
    assert [info.name for info in methods() if f"\n{info.name} " not in text] == []


def test_the_zoo_is_listed_with_n_and_interval_beside_every_accuracy(run: Run) -> None:
    zoo = load_zoo()
    document = run("zoo", "--json").document
    assert set(document["checkpoints"]) == {f"zoo:{path}" for path in zoo.checkpoints}
    lines = run("zoo").out.splitlines()
    for family in zoo.families:
        for ref in family.experts:
            (line,) = [line for line in lines if line.startswith(f"{ref} ")]
            score = zoo.accuracies[ref.removeprefix("zoo:")][family.expert_task[ref]]["test"]
            accuracy, low, _, high, n = line.split()[-5:]
            assert (accuracy, n) == (percent(score.accuracy), str(score.n))
            assert float(low) < 100 * score.accuracy < float(high)


def test_the_zoo_is_whole(run: Run) -> None:
    answer = run("zoo", "verify", "--json")
    assert answer.status == 0
    assert answer.document["problems"] == []
    assert answer.document["files"] == len(load_zoo().files)


def test_a_plan_writes_nothing_and_says_the_hash_that_the_merge_has(
    run: Run, write: Write, trio: Trio, tmp_path: Path
) -> None:
    recipe = write("recipe.json", trio.recipe())
    before = sorted(tmp_path.iterdir())
    assert run("plan", recipe).status == 0
    plan = run("plan", recipe, "--json").document
    assert sorted(tmp_path.iterdir()) == before
    assert plan["elements"] == sum(leaf.numel() for leaf in tensors(0).values())
    zoo_plan = run("plan", write("zoo.json", RECIPE), "--json").document
    merged = run("merge", write("zoo.json", RECIPE), str(tmp_path / "out"), "--json").document
    assert zoo_plan["hash"] == merged["hash"]


def test_a_merge_is_task_arithmetic_in_float64(run: Run, write: Write, trio: Trio, tmp_path: Path) -> None:
    answer = run("merge", write("recipe.json", trio.recipe(**{"lambda": 0.5})), str(tmp_path / "out"), "--json")
    assert (answer.status, answer.err) == (0, "")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    base, a, b = (tensors(shift) for shift in (0.0, 0.1, -0.2))
    for name, leaf in merged.items():
        wanted = base[name].double() + 0.5 * ((a[name].double() - base[name]) + (b[name].double() - base[name]))
        assert torch.allclose(leaf.double(), wanted, rtol=0, atol=1e-6)
    assert answer.document["ref"] == f"file:{tmp_path / 'out'}"


def test_yaml_and_json_are_the_same_recipe(run: Run, write: Write) -> None:
    yaml = (
        "version: 1\nbase: zoo:tiny/base\nmodels: [{ref: 'zoo:tiny/digits'}, {ref: 'zoo:tiny/shapes'}]\n"
        "method: {name: task_arithmetic}\nlambda: 0.5\n"
    )
    first, second = (run("plan", write(*file), "--json").document for file in (("a.yaml", yaml), ("a.json", RECIPE)))
    assert first["hash"] == second["hash"]


def test_a_plan_says_what_differs_between_leaves_and_the_merge_follows_it(
    run: Run, write: Write, tmp_path: Path
) -> None:
    yaml = (
        "version: 1\nbase: zoo:tiny/base\nmodels:\n  - ref: zoo:tiny/digits\n    weight:\n"
        "      - {filter: mlp, value: [0, 1]}\n      - {filter: self_atn, value: 0.5}\n      - {value: 0.25}\n"
        "method: {name: task_arithmetic}\nlambda: 1\n"
    )
    answer = run("plan", write("varied.yaml", yaml))
    assert "varies   weight of digits: 0 … 1 in mlp, 0.5 in self_atn, else 0.25" in answer.out
    assert "models[0].weight: filter self_atn is part of no leaf’s name; did you mean “self_attn”?" in answer.out
    out = tmp_path / "out"
    assert run("merge", write("varied.yaml", yaml), str(out)).status == 0
    again = run("plan", str(out / "recipe.json"), "--json").document
    assert again["hash"] == run("plan", write("varied.yaml", yaml), "--json").document["hash"]
    assert again["varies"] == ["weight of digits: 0 … 1 in mlp, 0.5 in self_atn, else 0.25"]


def test_an_exported_merge_scores_as_its_recipe_does(run: Run, write: Write, tmp_path: Path) -> None:
    recipe = write("recipe.json", RECIPE)
    assert run("merge", recipe, str(tmp_path / "out")).status == 0
    merged = run("evaluate", f"file:{tmp_path / 'out'}", "--json").document
    direct = run("evaluate", recipe, "--json").document
    assert merged["tasks"] == direct["tasks"]
    assert merged["average"] == direct["average"]
    assert direct["split"] == "validation"


def test_an_expert_on_its_own_task_is_what_the_manifest_says(run: Run) -> None:
    document = run("evaluate", "zoo:tiny/digits", "--split", "test", "--task", "digits", "--json").document
    (score,) = document["tasks"]
    known = load_zoo().accuracies["tiny/digits"]["tiny/digits"]["test"]
    assert score["n"] == known.n
    assert score["accuracy"] == pytest.approx(known.accuracy, abs=1.5 / known.n)
    assert document["normalised"]["value"] == 1.0
    assert score["interval"][0] < score["accuracy"] < score["interval"][1]


def test_a_linearised_expert_is_another_model_and_every_line_says_so(run: Run) -> None:
    said = run("evaluate", "zoo:tiny/digits", "--task", "digits", "--linearised").out.splitlines()
    assert said[-1].startswith("linearised at zoo:tiny/base: ")
    assert said[-2].startswith("normalised (÷ expert, 1 of 1 tasks): 0.9")


def test_a_model_without_a_base_is_not_linearised(run: Run, write: Write) -> None:
    recipe = {key: value for key, value in RECIPE.items() if key != "base"} | {
        "method": {"name": "linear"},
        "lambda": 1,
    }
    answer = run("evaluate", write("recipe.json", recipe), "--linearised")
    assert answer.status != 0
    assert "a model is linearised at its base" in answer.err


def test_the_table_shows_the_numbers_of_the_document(run: Run) -> None:
    arguments = ("evaluate", "zoo:tiny/digits", "--task", "digits", "--task", "tiny/shapes")
    lines = run(*arguments).out.splitlines()
    document = run(*arguments, "--json").document
    assert [score["task"] for score in document["tasks"]] == ["tiny/digits", "tiny/shapes"]
    for line, score in zip(lines[1:], document["tasks"], strict=False):
        low, high = (f"{100 * end:.1f}" for end in score["interval"])
        cells = [
            score["task"],
            percent(score["accuracy"]),
            low,
            "to",
            high,
            f"{score['loss']:.3f}",
            str(score["n"]),
        ]
        assert line.split() == cells


def test_every_zoo_checkpoint_finds_its_family() -> None:
    bench = open_bench()
    for family in bench.zoo.families:
        for ref in (family.base, *family.experts):
            assert bench.family(bench.catalog.open(ref), None) == family


def test_a_number_that_is_not_finite_is_null_in_json() -> None:
    from merging_core.cli.output import plain

    assert plain({"a": (math.inf, math.nan, 1.0), 2: None}) == {"a": [None, None, 1.0], "2": None}


def test_progress_is_one_line_on_a_terminal_that_is_wiped_at_the_end() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with ProgressLine(terminal) as progress:
        progress(0.25, "merging")
        progress(0.25, "merging")
        progress(1.0, "merging")
    assert terminal.getvalue() == "\r25 % merging\r100 % merging\r" + " " * 13 + "\r"


def test_a_merge_tells_programs_how_it_stands_and_people_in_bytes(
    run: Run, write: Write, trio: Trio, tmp_path: Path
) -> None:
    recipe = write("recipe.json", trio.recipe())
    answer = run("merge", recipe, str(tmp_path / "out"), "--json", "--json-progress")
    told = [json.loads(line) for line in answer.err.splitlines()]
    last = told[-1]
    assert (last["stage"], last["share"], last["done_bytes"]) == ("merge", 1.0, last["total_bytes"])
    assert last["written_bytes"] == last["output_bytes"] == answer.document["bytes"]
    assert (last["pass"], last["passes"], last["at_most"]) == (1, 1, False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, standing = Terminal(), Standing(10**9, 4 * 10**9, "layer", 1, 2, True, 5e8, 9.0)
    ProgressLine(terminal).stands(standing)
    said = "1.0 GB of at most 4.0 GB, pass 1 of at most 2"
    assert terminal.getvalue().startswith(f"\r25 % {said}")
    assert standing.in_words() == f"{said}, 500.0 MB/s, at most 9 s left"


def test_a_plan_and_a_merge_keep_within_the_memory_that_they_may_take_or_say_what_is_enough(
    run: Run, write: Write, trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The process of the tests has grown beyond what a command begins with.
    monkeypatch.setattr("merging_core.engines.means.this_program", lambda: PROGRAM_BYTES)
    recipe, out = write("recipe.json", trio.recipe()), tmp_path / "out"
    told = run("plan", recipe, "--memory", "1GiB", "--json").document
    memory = told["memory"]
    assert memory["allowed"] == 1 << 30 and memory["peak"] == memory["program"] + memory["streaming"] < 1 << 30
    assert told["means"]["workers"] >= 1 and told["device"]["why"]
    assert "allowed  1.1 GB of memory: at most" in run("plan", recipe, "--memory", "1GiB").out
    for command in (("plan", recipe), ("merge", recipe, str(out))):
        refused = run(*command, "--memory", "100MB")
        assert refused.status == 2 and refused.out == ""
        assert refused.err.startswith("memory: a merge fits the 100.0 MB of memory that it may take, but ")
        assert run(*command, "--memory", "much").err.startswith("--memory: a size is a number with a unit")
    assert not out.exists()
    assert run("merge", recipe, str(out), "--memory", "1GiB").status == 0


def test_a_refusal_of_the_program_itself_is_status_2_and_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "merging_core", "evaluate", "zoo:tiny/digts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, time\n"
        # What runs in a shell's background is told to ignore interrupts, and hands that down.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from merging_core.errors import CancelledError, Problem\n"
        "from merging_core.evaluation.evaluator import Evaluator\n"
        "def scores(evaluator, config, weights, parts, cancelled):\n"
        "    pathlib.Path(sys.argv[1]).touch()\n"
        "    while not cancelled():\n"
        "        time.sleep(0.01)\n"
        "    raise CancelledError(Problem('nobody waits', 'a step'))\n"
        "Evaluator.scores = scores\n"
        "from merging_core.cli.main import main\n"
        "sys.exit(main(['interpolate', 'zoo:tiny/base', 'zoo:tiny/digits']))\n"
    )
    started = tmp_path / "started"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code, str(started)], cwd=ROOT, text=True, **pipes)
    try:
        deadline = time.monotonic() + 240
        while not started.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (130, "", "")
