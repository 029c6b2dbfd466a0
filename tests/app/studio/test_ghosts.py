"""Ghosts of the studio: they foretell the linearised model, are found bit by bit, and show only where they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.charts.accuracy import figure_of
from app.charts.tables import rows_of
from app.families import Family
from app.settings import Settings
from app.state import StudioState, choose_mask, choose_method, choose_scaling, default_state
from app.studio.bench import ZooBench
from app.studio.ghosts import Ghosts, shares_of
from app.studio.rows import with_foretold
from app.studio.workbench import Foretold
from merging_core.errors import CancelledError
from tests.app.wire import Browser


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooBench]:
    folder: Path = tmp_path_factory.mktemp("ghosts")
    yield ZooBench(Settings.from_env({"BASIN_DATA": str(folder), "BASIN_DEVICE": "cpu"}))


@pytest.fixture(scope="module")
def family(bench: ZooBench) -> Family:
    return next(one for one in bench.families if one.name == "basins")


@pytest.fixture(scope="module")
def state(bench: ZooBench, family: Family) -> StudioState:
    found = choose_method(default_state(family), "task_arithmetic", bench.families)
    models = [replace(entry, weight=0.5 + place) for place, entry in enumerate(found.recipe.models)]
    return replace(found, recipe=replace(found.recipe, lambda_=0.4, models=tuple(models)))


def never() -> bool:
    return False


def test_what_is_foretold_is_the_accuracy_of_the_linearised_model(
    bench: ZooBench, family: Family, state: StudioState
) -> None:
    core = bench.models()
    ghosts = Ghosts(core, lambda family: family.name, seconds=0.0)
    assert ghosts.foretold(state.recipe, family, "preview") is None
    seen = [ghosts.grow(family, never)]
    while seen[-1]["known"] == []:
        seen.append(ghosts.grow(family, never))
    early = ghosts.foretold(state.recipe, family, "full")
    assert early is not None and early.subset == "preview"
    while not seen[-1]["complete"]:
        seen.append(ghosts.grow(family, never))
    assert [one["known"] for one in seen[:1]] == [[]] and seen[-1]["known"] == ["preview", "full"]
    assert ["preview"] in [one["known"] for one in seen]
    merged = core.engine.merge(state.recipe)
    linear = core.evaluator.linearised(core.engine.checkpoint(str(family.base)))
    config, tasks = merged.plan.survey.reference.config, core.tasks_of(family)
    for subset in ("preview", "full"):
        report = linear.evaluate(config, merged.weights, tasks, "validation", subset)  # type: ignore[arg-type]
        expected = {score.task: score.accuracy for score in report.tasks}
        found = ghosts.foretold(state.recipe, family, subset)  # type: ignore[arg-type]
        assert found is not None and found.subset == subset and found.accuracies == pytest.approx(expected)


def test_a_slider_that_waits_is_not_kept_waiting(bench: ZooBench, family: Family) -> None:
    ghosts = Ghosts(bench.models(), lambda family: family.name, seconds=60.0)
    with pytest.raises(CancelledError):
        ghosts.grow(family, lambda: True)


def test_a_plain_sum_alone_is_foretold(bench: ZooBench, family: Family, state: StudioState) -> None:
    shares = shares_of(state.recipe, family)
    assert shares is not None and list(shares.values()) == pytest.approx([0.4 * (0.5 + i) for i in range(len(shares))])
    for other in (
        choose_method(state, "ties", bench.families),
        choose_mask(state, "magnitude"),
        choose_scaling(state, "lines"),
        replace(state, recipe=replace(state.recipe, base=None)),
    ):
        assert shares_of(other.recipe, family) is None


def test_it_stands_beside_the_bars_and_in_the_table() -> None:
    row = {"accuracy": 0.5, "interval": [0.4, 0.6], "n": 9, "references": {}, "pinned": None, "loss": 1.0}
    tasks = [{**row, "task": name, "title": name, "colour": None} for name in ("a", "b")]
    numbers = {"tasks": tasks, "average": row, "n": 18, "partial": True, "split": "validation", "subset": "preview"}
    assert "tangent prediction" not in [trace["name"] for trace in figure_of(numbers)["data"]]
    given = with_foretold(numbers, Foretold("preview", {"a": 0.25, "b": 0.75}))
    ghosts = figure_of(given)["data"][-1]
    assert (ghosts["name"], ghosts["y"], ghosts["customdata"]) == (
        "tangent prediction",
        [0.25, 0.75, 0.5],
        [-0.25, 0.25, 0.0],
    )
    _, rows = rows_of("accuracy", given)
    assert [line[3] for line in rows if line[2] == "tangent prediction"] == [0.25, 0.75, 0.5]
    assert with_foretold(numbers, None) == numbers and "foretold_on" not in given
    other = with_foretold({**numbers, "subset": "full"}, Foretold("preview", {"a": 0.25, "b": 0.75}))
    assert "preview only" in figure_of(other)["data"][-1]["hovertemplate"]


def test_the_page_asks_for_ghosts_and_live_answers_carry_them_only_when_wanted(ann: Browser) -> None:
    state = ann.call("hello", {"link": None})["state"]
    message = {"page": "p", "seq": 1, "state": state, "want": "preview"}
    assert "foretold" not in ann.call("live", {**message, "ghosts": True})["numbers"]["average"]
    found = ann.call("ghosts", {"page": "p", "seq": 1, "state": state})
    assert (found["known"], found["complete"], found["why"]) == (["preview", "full"], True, None)
    told = ann.call("live", {**message, "seq": 2, "ghosts": True})
    assert {task["foretold"] for task in told["numbers"]["tasks"]} == {0.5} and "foretold_on" not in told["numbers"]
    assert told["figures"]["accuracy"]["data"][-1]["name"] == "tangent prediction"
    plain = ann.call("live", {**message, "seq": 3})
    assert "foretold" not in plain["numbers"]["average"] and len(plain["figures"]["accuracy"]["data"]) == 6
    ties = ann.call("edit", {"state": state, "change": {"kind": "method", "name": "ties"}})["state"]
    other = ann.call("ghosts", {"page": "p", "seq": 4, "state": ties})
    assert other["complete"] is True and other["known"] == [] and "task arithmetic" in other["why"]
    assert ann.call("ghosts", {"page": "p", "seq": 5})["ok"] is False
