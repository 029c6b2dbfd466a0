"""The robust soup: its grid, what it is chosen by, and that the numbers under attack are those of its recipe."""

from __future__ import annotations

from math import comb
from pathlib import Path
from typing import Any, Literal

import pytest

from merging_core.errors import PlanError
from merging_core.evaluation.evaluator import halves, parts_of
from merging_core.learning import Finished, Paused, State, Tried, open_run
from merging_core.learning.attacks import Attack
from merging_core.learning.robustness import robust_report
from merging_core.learning.soups.robust_run import weightings
from tests.learning.world import CONFIG, World, world


@pytest.fixture
def three(tmp_path: Path) -> World:
    return world(tmp_path, experts=3)


def spec_of(world: World, against: str, **changes: Any) -> Any:
    params = {"against": against, "parts": 2, "attack_steps": 3, "linf": 0.05, "l2": 0.2}
    return world.spec("robust_soup", params, steps=64, batch=4, **changes)


def ran(world: World, against: str, **changes: Any) -> tuple[list[Tried], Finished]:
    with open_run(spec_of(world, against, **changes), world.bench()) as run:
        events = list(run.events())
    last = events[-1]
    assert isinstance(last, Finished)
    return [event for event in events if isinstance(event, Tried)], last


@pytest.mark.parametrize(("models", "parts"), [(2, 3), (3, 4), (4, 2)])
def test_the_grid_has_every_weighting_once_and_each_adds_up_to_one(models: int, parts: int) -> None:
    found = weightings(models, parts, 10_000, 0)
    uniform_is_on_it = parts % models == 0
    assert len(set(found)) == len(found) == comb(models + parts - 1, parts) + (0 if uniform_is_on_it else 1)
    assert all(sum(shares) == pytest.approx(1.0) and min(shares) >= 0.0 for shares in found)


def test_a_grid_that_is_too_fine_is_refused() -> None:
    with pytest.raises(PlanError, match="use fewer parts"):
        weightings(8, 20, 64, 0)


@pytest.mark.parametrize("against", ["none", "linf", "l2", "mixture"])
def test_the_best_on_the_examples_that_choose_is_kept(three: World, against: str) -> None:
    tried, last = ran(three, against)

    def score(event: Tried) -> float:
        attacked = [one.report.average for one in event.robust]
        values = {"none": [event.report.average], "mixture": [event.report.average, *attacked]}.get(against, attacked)
        return sum(values) / len(values)

    best = max(tried, key=score)
    assert last.kept_step == best.step
    assert [event.step for event in tried if event.best][-1] == best.step
    kept = {ref: share for ref, share in zip(three.experts, best.shares, strict=True) if share}
    assert {entry.ref for entry in last.recipe.models} == set(kept)
    norms = {"none": [], "linf": ["linf"], "l2": ["l2"], "mixture": ["linf", "l2"]}[against]
    assert [one.attack.norm for one in best.robust] == norms
    assert all((event.difference is None) == (against == "mixture") for event in tried[1:])


def test_robust_numbers_stand_beside_clean_ones_of_the_same_examples(three: World) -> None:
    tried, last = ran(three, "mixture")
    assert [after.attack for _, after in last.robust] == [
        Attack("linf", 0.05, 3, step=0.25 * 0.05), Attack("l2", 0.2, 3, step=0.25 * 0.2)
    ]  # fmt: skip
    shown = halves(parts_of(three.tasks, "validation", "full"))[1]
    weights = three.engine().merge(last.recipe).weights
    for _, after in last.robust:
        again = robust_report(CONFIG, weights, shown, after.attack)
        assert again.report.average == after.report.average <= last.after.average
        for clean, robust in zip(last.after.tasks, after.report.tasks, strict=True):
            assert clean.examples.tolist() == robust.examples.tolist()
    chose = [set(score.examples.tolist()) for score in tried[0].report.tasks]
    assert all(len(one) == 4 for one in chose)
    assert all(not one & set(score.examples.tolist()) for one, score in zip(chose, last.after.tasks, strict=True))
    told = last.as_json()["robust"]
    assert isinstance(told, list)
    assert told[0]["after"]["words"].startswith("ℓ∞ attack, ε 0.05, 3 steps")


def test_a_stopped_run_goes_on_to_the_same_weights(three: World, tmp_path: Path) -> None:
    _, whole = ran(three, "linf")
    asked = 0

    def heed() -> Literal["go", "pause"]:
        nonlocal asked
        asked += 1
        return "pause" if asked > 4 else "go"

    with open_run(spec_of(three, "linf"), three.bench()) as run:
        first = [event for event in _until_paused(run.events(heed)) if isinstance(event, Tried)]
        run.state.save(tmp_path / "state.safetensors")
    with open_run(spec_of(three, "linf"), three.bench(), State.load(tmp_path / "state.safetensors")) as run:
        rest = list(run.events())
    last = rest[-1]
    assert isinstance(last, Finished)
    assert (last.hash, last.kept_step) == (whole.hash, whole.kept_step)
    tried = [*first, *(event for event in rest if isinstance(event, Tried))]
    assert [event.as_json() for event in tried] == [event.as_json() for event in ran(three, "linf")[0]]


def _until_paused(events: Any) -> Any:
    for event in events:
        if isinstance(event, Paused):
            return
        yield event
