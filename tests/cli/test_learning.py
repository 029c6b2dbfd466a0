"""`learn`: what it writes, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from merging_core.learning import Session
from tests.cli.conftest import Run, Write

SPEC: dict[str, Any] = {
    "version": 1,
    "method": {"name": "adamerging", "params": {"per": "task", "rate": 0.05}},
    "base": "zoo:basins/start",
    "models": ["zoo:basins/left", "zoo:basins/right"],
    "steps": 4,
    "batch": 4,
    "check": {"every": 2},
    "keep": "last",
}


def test_a_run_that_ctrl_c_stopped_goes_on_to_the_same_recipe(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write("spec.yaml", SPEC)
    whole = run("learn", spec, "--out", str(tmp_path / "whole"), "--json")
    assert whole.status == 0, whole.err
    train, done = Session._train, 0

    def interrupted(self: Session) -> Any:
        nonlocal done
        done += 1
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return train(self)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_train", interrupted)
        stopped = run("learn", spec, "--out", str(tmp_path / "parts"))
    assert stopped.status == 130
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["events.jsonl", "state.safetensors"]
    assert run("learn", spec, "--out", str(tmp_path / "parts")).status == 2
    rest = run("learn", spec, "--out", str(tmp_path / "parts"), "--resume", "--json")
    assert rest.document["hash"] == whole.document["hash"]
    assert "one that is finished came" in run("learn", spec, "--out", str(tmp_path / "parts"), "--resume").err
    events = [json.loads(line) for line in (tmp_path / "parts" / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["kind"] == "checked"] == [0, 2, 4]

    merged = run("merge", str(tmp_path / "parts" / "recipe.json"), str(tmp_path / "merged"), "--json")
    assert merged.document["hash"] == whole.document["hash"]
    again = run("plan", str(tmp_path / "merged" / "recipe.json"), "--json")
    assert again.document["hash"] == whole.document["hash"]
    assert again.document["learned"] == "a coefficient for each expert"


def test_a_run_says_what_it_learned_from_and_what_came_of_it(run: Run, write: Write, tmp_path: Path) -> None:
    answer = run("learn", write("spec.json", {**SPEC, "split": "test", "steps": 1}), "--out", str(tmp_path / "out"))
    assert answer.status == 0, answer.err
    assert "transductive" in answer.out
    assert "difference, paired" in answer.out
    assert answer.out.count("validation preview") == 2


def test_an_expert_is_trained_into_a_folder_that_merges_like_any_other(run: Run, write: Write, tmp_path: Path) -> None:
    spec = {
        "version": 1,
        "method": {"name": "train_expert", "params": {"moves": "norms_and_biases", "average": "ema"}},
        "base": "zoo:basins/start",
        "tasks": ["basins/digits"],
        "steps": 2,
        "batch": 4,
    }
    answer = run("learn", write("spec.yaml", spec), "--out", str(tmp_path / "out"))
    assert answer.status == 0, answer.err
    assert "expert: as after step" in answer.out
    assert "to the weights without the average" in answer.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["events.jsonl", "expert", "result.json"]
    recipe = {
        "version": 1,
        "base": "zoo:basins/start",
        "models": [{"ref": f"file:{tmp_path / 'out' / 'expert'}"}, {"ref": "zoo:basins/left"}],
        "method": {"name": "ties"},
    }
    assert run("merge", write("recipe.json", recipe), str(tmp_path / "merged"), "--json").status == 0


def test_a_run_that_was_killed_with_its_expert_written_ends_once_more_with_the_same_bits(
    run: Run, write: Write, tmp_path: Path
) -> None:
    spec = write("spec.json", {
        "version": 1, "method": {"name": "train_expert", "params": {"moves": "norms_and_biases"}},
        "base": "zoo:basins/start", "tasks": ["basins/digits"], "steps": 2, "batch": 2, "check": {"every": 1},
    })  # fmt: skip
    out = tmp_path / "run"
    assert run("learn", spec, "--out", str(out)).status == 0
    first = (out / "expert" / "model.safetensors").read_bytes()
    (out / "result.json").unlink()
    assert run("learn", spec, "--out", str(out), "--resume").status == 0
    assert (out / "expert" / "model.safetensors").read_bytes() == first and (out / "result.json").is_file()


def test_a_soup_says_what_each_model_gained_and_how_it_does_under_attack(
    run: Run, write: Write, tmp_path: Path
) -> None:
    spec = {key: SPEC[key] for key in ("version", "base", "models")}
    greedy = run(
        "learn", write("greedy.yaml", {**spec, "method": {"name": "greedy_soup"}}), "--out", str(tmp_path / "g")
    )
    assert greedy.status == 0, greedy.err
    tried = [line for line in greedy.out.splitlines() if line.startswith("step")]
    assert len(tried) == 2
    assert "validation part" in tried[0]
    assert tried[0].endswith(("kept: zoo:basins/left", "kept: zoo:basins/right"))
    assert " points (" in tried[1]
    assert "100 examples of the first half of validation" in greedy.out
    assert json.loads((tmp_path / "g" / "recipe.json").read_text())["method"]["name"] == "uniform_soup"

    params = {"against": "linf", "parts": 1, "attack_steps": 1}
    robust = {**spec, "method": {"name": "robust_soup", "params": params}, "batch": 10}
    found = run("learn", write("robust.yaml", robust), "--out", str(tmp_path / "r"), "--json")
    assert found.status == 0, found.err
    assert [pair["after"]["attack"]["norm"] for pair in found.document["robust"]] == ["linf", "l2"]
    told = run("learn", write("robust.yaml", robust), "--out", str(tmp_path / "again"))
    assert "ℓ∞ attack, ε 0.03, 1 step of 0.0075: right before and after it" in told.out


def test_each_model_is_measured_on_its_own_task_in_whatever_order_they_stand() -> None:
    from merging_core.cli.learning import _readable
    from merging_core.cli.targets import open_bench
    from merging_core.learning import parse_spec

    models = ["zoo:tiny/shapes", "zoo:tiny/digits"]
    given = {"version": 1, "method": {"name": "regmean"}, "base": "zoo:tiny/base", "models": models}
    for tasks in ([], ["shapes", "digits"]):
        spec, found = _readable(open_bench(), parse_spec({**given, "tasks": tasks}), None)
        assert spec.tasks == tuple(task.name for task in found) == ("tiny/shapes", "tiny/digits")
