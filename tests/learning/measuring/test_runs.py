"""Runs that measure: stopped and gone on, found again, and ending in a recipe that both engines carry out."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints.learned import LearnedTensors
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.measured import About
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import EvaluationError, PlanError
from merging_core.learning import Checked, Finished, Paused, Progress, State, open_run
from merging_core.learning.measuring import keeping
from merging_core.learning.measuring.keeping import find
from tests.engines.world import assert_same_bits
from tests.learning.world import World, world

METHODS = ["fisher", "regmean", "regmean_plus_plus"]


def finished(small: World, method: str, state: State | None = None, **changes: Any) -> Finished:
    bench = small.bench()
    with open_run(small.spec(method, **changes), bench, state) as run:
        *_, last = run.events()
    assert isinstance(last, Finished)
    return last


def stopped_after(small: World, method: str, steps: int, **changes: Any) -> State:
    """Return the state of a run that was paused after so many steps, by way of its file."""
    with open_run(small.spec(method, **changes), small.bench()) as run:
        asked = 0

        def heed() -> str:
            nonlocal asked
            asked += 1
            return "pause" if asked > steps else "go"

        for event in run.events(heed):  # type: ignore[arg-type]
            if isinstance(event, Paused):
                assert event.step == steps
                return run.state
    raise AssertionError("the run did not pause")


@pytest.mark.parametrize("method", METHODS)
def test_a_run_ends_in_a_recipe_that_both_engines_carry_out(method: str, small: World) -> None:
    last = finished(small, method)
    recipe = last.recipe
    assert recipe.method.name == ("fisher" if method == "fisher" else "regmean")
    assert all(entry.statistics for entry in recipe.models)
    live = LiveEngine(small.catalog, "cpu").merge(recipe)
    plan = make_plan(recipe, small.catalog)
    assert_same_bits(live.weights, dict(stream_leaves(plan, chunk_elements=5)))
    assert plan.hash == live.hash == last.hash
    average = LiveEngine(small.catalog, "cpu").merge(small.spec(method).recipe())
    assert not torch.equal(live.flat, average.flat)
    assert (last.stopped, last.transductive, last.seen, last.chosen_by) == (False, False, False, "")
    assert json.dumps(last.as_json())
    told = plan.as_json()["statistics"]
    assert len(told) == 2 and "18 examples of small/task-0 (train), seed 0" in told[0]


@pytest.mark.parametrize(
    ("method", "params"), [("fisher", {}), ("fisher", {"form": "batch"}), ("regmean", {}), ("regmean_plus_plus", {})]
)
def test_stopped_and_gone_on_has_the_bits_of_a_run_that_never_stopped(
    method: str, params: dict[str, Any], small: World, tmp_path: Path
) -> None:
    # Five batches of each of two experts, at one depth or two: within the first expert, and within the second.
    other = world(tmp_path / "other")
    for steps in (2, 7):
        state = stopped_after(other, method, steps, params=params)
        state.save(tmp_path / "state.safetensors")
        again = finished(other, method, State.load(tmp_path / "state.safetensors"), params=params)
        whole = finished(small, method, params=params)
        assert [one.statistics for one in again.recipe.models] == [one.statistics for one in whole.recipe.models]
        for path in (tmp_path / "other" / "learned").glob("*"):
            path.unlink()


def test_any_number_of_threads_gives_the_same_statistics(small: World, tmp_path: Path) -> None:
    first = finished(small, "fisher").recipe
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        second = finished(world(tmp_path / "other"), "fisher").recipe
    finally:
        torch.set_num_threads(threads)
    assert [one.statistics for one in first.models] == [one.statistics for one in second.models]


@pytest.mark.parametrize("method", METHODS[:2])
def test_what_was_measured_is_found_again_and_not_measured_twice(method: str, small: World) -> None:
    first = finished(small, method)
    with open_run(
        small.spec(method, params={"floor": 0.5} if method == "fisher" else {"ridge": 1.0}), small.bench()
    ) as run:
        events = list(run.events())
    last = events[-1]
    assert isinstance(last, Finished)
    assert [event.step for event in events if isinstance(event, Progress)] in ([0], [0, 10])
    assert [one.statistics for one in last.recipe.models] == [one.statistics for one in first.recipe.models]
    assert last.hash != first.hash
    for change in ({"seed": 1}, {"split": "calibration"}, {"steps": 2}):
        other = finished(small, method, **change)
        assert other.recipe.models[0].statistics != first.recipe.models[0].statistics


def test_damaged_notes_and_files_are_measured_again(small: World) -> None:
    first = finished(small, "regmean")
    folder = small.store.folders[0]
    for path in folder.glob("*.statistics"):
        path.write_text("nothing", encoding="utf-8")
    assert finished(small, "regmean").recipe == first.recipe
    for path in folder.glob("*.safetensors"):
        path.write_bytes(b"nothing")
        path.unlink()
    assert finished(small, "regmean").recipe == first.recipe


def test_statistics_are_shared_between_the_folders_of_a_store(small: World, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    store = LearnedTensors((tmp_path / "one", shared))
    bench = replace(small.bench(), store=store, engine=LiveEngine(replace(small.catalog, learned=store), "cpu"))
    with open_run(small.spec("regmean"), bench) as run:
        *_, last = run.events()
    assert isinstance(last, Finished)
    other = LearnedTensors((tmp_path / "two", shared))
    names = {path.name for path in shared.iterdir()}
    assert names == {path.name for path in (tmp_path / "one").iterdir()} and len(names) == 4
    bench = replace(small.bench(), store=other, engine=LiveEngine(replace(small.catalog, learned=other), "cpu"))
    with open_run(small.spec("regmean"), bench) as run:
        assert [event.step for event in run.events() if isinstance(event, Progress)] == [0]
    assert {path.name for path in (tmp_path / "two").iterdir()} == names
    assert find(other, About("gram", "own", "0" * 64, "no/task", "train", 1, 0, "0")) is None


@pytest.mark.parametrize("method", METHODS[:2])
def test_told_to_stop_it_ends_in_a_recipe_of_what_there_is(method: str, small: World) -> None:
    answers = iter(["go", "go", "stop"])
    with open_run(small.spec(method), small.bench()) as run:
        *_, last = run.events(lambda: next(answers))  # type: ignore[arg-type, return-value]
    assert isinstance(last, Finished) and last.stopped and last.step == 2
    told = make_plan(last.recipe, small.catalog).as_json()["statistics"]
    assert "8 examples of small/task-0" in told[0] and "0 examples of small/task-1" in told[1]
    merged = LiveEngine(small.catalog, "cpu").merge(last.recipe).flat
    average = LiveEngine(small.catalog, "cpu").merge(small.spec(method).recipe()).flat
    torch.testing.assert_close(merged, average, rtol=1e-6, atol=1e-7)


def test_what_is_shown_and_how_it_is_labelled(small: World) -> None:
    with open_run(small.spec("regmean", split="test"), small.bench()) as run:
        events = list(run.events())
        assert run.steps == 6
    checks = [event for event in events if isinstance(event, Checked)]
    assert [check.step for check in checks] == [0, 6]
    assert all(check.report.transductive for check in checks)
    first = next(event for event in events if isinstance(event, Progress))
    assert first.phase.startswith("Measuring ") and first.steps == 6
    assert isinstance(events[-1], Finished) and events[-1].transductive
    assert finished(small, "regmean", split="validation").seen


def test_every_expert_needs_a_task_of_its_own(small: World) -> None:
    bench = replace(small.bench(), tasks=(*small.tasks, small.tasks[0]))
    with pytest.raises(EvaluationError, match="a task of its own"):
        open_run(small.spec("fisher"), bench)
    alone = replace(small.bench(), tasks=small.tasks[:1])
    with open_run(small.spec("fisher", steps=1), alone) as run:
        *_, last = run.events()
    assert isinstance(last, Finished) and len(make_plan(last.recipe, small.catalog).survey.statistics) == 2


def test_a_state_of_another_run_is_refused(small: World) -> None:
    state = stopped_after(small, "fisher", 1)
    with pytest.raises(PlanError, match="its own specification"):
        open_run(small.spec("fisher", seed=3), small.bench(), state)


def test_a_shared_folder_lets_go_what_was_written_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, kept = LearnedTensors((tmp_path / "own", tmp_path / "shared")), []
    for number in range(3):
        about = About("fisher", "exact", f"{number}" * 64, "small/task", "train", 1, 0, "0" * 32)
        monkeypatch.setattr(keeping, "MOST", 4 << 30 if number < 2 else 1)
        kept.append(keeping.keep(store, about, {"fisher/w": torch.full((100,), float(number))}).path)
        os.utime(tmp_path / "own" / f"{kept[-1]}.safetensors", (number, number))
    held = {path.stem for path in (tmp_path / "shared").glob("*.safetensors")}
    assert held == {kept[2]}
    assert {path.stem for path in (tmp_path / "own").glob("*.safetensors")} == set(kept)
