"""Planes as studies: values against the evaluator at each cell, models at their own, kinds and what they need."""

from __future__ import annotations

from itertools import islice
from typing import Any, cast

import numpy
import pytest
import torch

from merging_core.analysis.planes.plane import PLANE
from merging_core.analysis.planes.setting import KINDS, setting_of
from merging_core.analysis.planes.stages import growing
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec, parse_study
from merging_core.errors import SpaceError
from merging_core.evaluation.evaluator import Part, parts_of
from merging_core.evaluation.intervals import wilson
from tests.analysis.studies.small import small_bench

BASE = "zoo:basins/start"
REFS = ("zoo:basins/left", "zoo:basins/right", "zoo:basins/stranger-1", "zoo:basins/stranger-2")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


def spec(kind: str, models: tuple[str, ...] = REFS[:3], base: str | None = BASE, **more: Any) -> StudySpec:
    study = {"name": "plane", "params": {"kind": kind, "cells": 3, **more}}
    return parse_study({"version": 1, "study": study, "base": base, "models": list(models)})


def last(given: StudySpec, bench: StudyBench) -> dict[str, Any]:
    *_, found = PLANE.answer(given, bench, Memory())
    return cast("dict[str, Any]", found.numbers)


def flats(bench: StudyBench, *refs: str) -> numpy.ndarray:
    return numpy.stack([bench.engine.end(ref)[0].double().numpy() for ref in refs])


def measured(bench: StudyBench, given: StudySpec, flat: numpy.ndarray) -> tuple[float, float]:
    """What the evaluator says of weights that were worked out in float64 here."""
    points = bench.points(given)
    weights = points.weights(torch.tensor(flat, dtype=torch.float32))
    report = bench.evaluator.evaluate(points.config, weights, bench.tasks)
    return report.loss, report.average


def assert_cells(bench: StudyBench, given: StudySpec, origin: Any, across: Any, up: Any) -> None:
    numbers = last(given, bench)
    layer = numbers["layers"][0]
    for row, column in ((0, 0), (1, 2), (2, 1)):
        x, y = numbers["x"][column], numbers["y"][row]
        loss, accuracy = measured(bench, given, origin + x * across + y * up)
        assert layer["loss"][row][column] == pytest.approx(loss, rel=1e-4)
        assert layer["accuracy"][row][column] == pytest.approx(accuracy, abs=1e-9)


def test_a_cell_has_the_loss_of_the_weights_that_lie_there(bench: StudyBench) -> None:
    own = flats(bench, *REFS[:3])
    u = (own[1] - own[0]) / numpy.linalg.norm(own[1] - own[0])
    v = own[2] - own[0] - ((own[2] - own[0]) @ u) * u
    assert_cells(bench, spec("models"), own[0], u, v / numpy.linalg.norm(v))


def test_task_vectors_are_added_to_the_base(bench: StudyBench) -> None:
    base, one, other = flats(bench, "zoo:basins/start", *REFS[:2])
    given = spec("task vectors", REFS[:2], margin=0.5)
    assert_cells(bench, given, base, one - base, other - base)
    numbers = last(given, bench)
    assert (numbers["x"], numbers["y"]) == ([-0.5, 0.5, 1.5], [-0.5, 0.5, 1.5])
    places = {place["name"]: (place["x"], place["y"]) for place in numbers["places"]}
    wanted = {REFS[0]: (1, 0), REFS[1]: (0, 1), "zoo:basins/start": (0, 0)}
    assert {name: pytest.approx(spot, abs=1e-9) for name, spot in wanted.items()} == places


def test_random_directions_start_at_the_model(bench: StudyBench) -> None:
    given = spec("random", REFS[:1], base=None, reach=0.5)
    numbers = last(given, bench)
    assert numbers["x"] == [-0.5, 0.0, 0.5]
    loss, accuracy = measured(bench, given, flats(bench, REFS[0])[0])
    assert numbers["layers"][0]["loss"][1][1] == pytest.approx(loss, rel=1e-5)
    setting = setting_of(given, bench, Memory())
    moved = cast("Any", setting.weights(0.5, 0.0))
    still = cast("Any", setting.weights(0.0, 0.0))
    assert torch.equal(moved["layers.0.bias"], still["layers.0.bias"])
    ratio = (moved["layers.0.weight"] - still["layers.0.weight"]).norm() / still["layers.0.weight"].norm()
    assert float(ratio) == pytest.approx(0.5, rel=1e-3)


def test_four_models_have_a_principal_plane_around_their_mean(bench: StudyBench) -> None:
    numbers = last(spec("principal", REFS, base=None), bench)
    assert sum(place["x"] for place in numbers["places"]) == pytest.approx(0.0, abs=1e-6)
    assert all("component" in title for title in numbers["axes"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_under_a_model_are_as_far_from_it_as_is_said(kind: str, bench: StudyBench) -> None:
    given = spec(kind, REFS)
    setting = setting_of(given, bench, Memory())
    own = flats(bench, *REFS, BASE)
    for index, spot in enumerate(setting.spots):
        below = torch.cat([leaf.double().flatten() for leaf in setting.weights(spot.x, spot.y).values()]).numpy()
        itself = torch.cat([leaf.double().flatten() for leaf in setting.model(index).values()]).numpy()
        assert numpy.linalg.norm(below - itself) == pytest.approx(spot.distance, rel=1e-4, abs=1e-4)
        assert numpy.linalg.norm(itself) == pytest.approx(float(numpy.linalg.norm(own[index])), rel=1e-6)


def test_models_are_measured_themselves_and_not_where_they_are_projected(bench: StudyBench) -> None:
    given = spec("models")
    numbers = last(given, bench)
    for place in numbers["places"]:
        loss, accuracy = measured(bench, given, flats(bench, place["name"])[0])
        (score,) = place["scores"]
        assert (score["loss"], score["accuracy"]) == pytest.approx((loss, accuracy), rel=1e-6)
    assert [round(place["distance"], 6) for place in numbers["places"][:3]] == [0.0, 0.0, 0.0]
    assert numbers["places"][3]["distance"] > 1.0 and numbers["places"][3]["model"] is None


def test_three_by_three_cells_come_first_then_the_models(bench: StudyBench) -> None:
    found = list(islice(PLANE.answer(spec("models", cells=5), bench, Memory()), 2))
    first = cast("dict[str, Any]", found[0].numbers)
    known = [[value is not None for value in row] for row in first["layers"][0]["accuracy"]]
    assert all(known[row][column] for row in (0, 2, 4) for column in (0, 2, 4))
    assert not all(map(all, known)) and "of 25 cells" in first["sentence"] and first["partial"]
    later = cast("dict[str, Any]", found[1].numbers)
    assert all(place["scores"] for place in later["places"])


def test_the_table_has_every_cell_with_its_interval(bench: StudyBench) -> None:
    given = spec("models")
    table = PLANE.tables(last(given, bench))["plane"]
    assert len(table.rows) == 9 and table.header[-4:] == ("accuracy", "95 % low", "95 % high", "n")
    for row in table.rows:
        accuracy, low, high, n = cast("tuple[float, float, float, int]", row[-4:])
        assert (low, high) == wilson(round(accuracy * 28), 28) and n == 28


def test_a_plane_is_laid_out_once(bench: StudyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    first = setting_of(spec("models"), bench, memory)
    monkeypatch.setattr("merging_core.analysis.planes.setting.arrow_gram", None)
    assert setting_of(spec("models"), bench, memory).spots == first.spots


def test_all_cells_of_a_picture_are_on_the_same_examples(bench: StudyBench) -> None:
    sizes = {}
    for found in PLANE.answer(spec("models"), bench, Memory()):
        numbers = cast("dict[str, Any]", found.numbers)
        cells = sum(value is not None for row in numbers["layers"][0]["accuracy"] for value in row)
        sizes[numbers["n"]["validation"]] = cells
        for place in numbers["places"]:
            assert all(score["n"] == numbers["n"]["validation"] for score in place["scores"])
    assert sizes == {20: 9, 28: 9}


def test_examples_grow_threefold_and_a_small_rest_is_taken_at_once(bench: StudyBench) -> None:
    (preview,) = parts_of(bench.tasks, "validation", "preview")
    whole = Part(preview.task, "validation", 0, 200)
    assert [stage[0].stop for stage in growing([preview], [whole])] == [20, 60, 200]
    assert [stage[0].stop for stage in growing([preview], [preview])] == [20]


@pytest.mark.parametrize(
    ("kind", "models", "base", "places"),
    [
        ("models", REFS[:2], None, ["models"]),
        ("task vectors", REFS[:1], None, ["models", "base"]),
        ("principal", REFS[:3], None, ["models"]),
    ],
)
def test_each_kind_says_what_it_needs(
    kind: str, models: tuple[str, ...], base: str | None, places: list[str], bench: StudyBench
) -> None:
    with pytest.raises(SpaceError) as caught:
        next(PLANE.answer(spec(kind, models, base), bench, Memory()))
    assert [problem.where for problem in caught.value.problems] == places
