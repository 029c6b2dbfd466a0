"""The workbench over the zoo: what it says is what an evaluation of the same weights says.

On the small networks of the family `basins`; BASIN_ZOO names another zoo than the embedded one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.families import Family
from app.own_family import family_named, own_name
from app.settings import Settings
from app.state import PathChoice, StudioState, default_state, parse_state
from app.studio import pairs
from app.studio.bench import ZooBench
from app.tasks.spec import parse_spec
from merging_core.errors import CancelledError, CheckpointError
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.subsets import PREVIEW
from merging_core.methods.varying import Case, Varying
from merging_core.recipes import changes, parse_recipe

LEFT, RIGHT, STRANGER = "zoo:basins/left", "zoo:basins/right", "zoo:basins/stranger-1"


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooBench]:
    environment = {"BASIN_DATA": str(tmp_path_factory.mktemp("data")), "BASIN_DEVICE": "cpu"}
    settings = Settings.from_env({**environment, "BASIN_ZOO": os.environ.get("BASIN_ZOO", "")})
    yield ZooBench(settings, fine_seconds=600.0)


@pytest.fixture(scope="module")
def family(bench: ZooBench) -> Family:
    return next(family for family in bench.families if family.name == "basins")


@pytest.fixture
def state(family: Family) -> StudioState:
    return default_state(family)


def merged(state: StudioState, *refs: str, lambda_: float = 1.0, method: str = "task_arithmetic") -> StudioState:
    document: dict[str, Any] = {"version": 1, "base": "zoo:basins/start", "models": [{"ref": ref} for ref in refs]}
    return replace(state, recipe=parse_recipe({**document, "method": {"name": method}, "lambda": lambda_}))


def test_every_family_opens_with_a_state_that_reads_back(bench: ZooBench) -> None:
    for family in bench.families:
        first = default_state(family)
        assert parse_state(first.as_json(), bench.families) == first
        assert family.base is not None and len(first.recipe.models) >= 2


def test_the_description_names_families_tasks_and_sizes(bench: ZooBench) -> None:
    description = bench.description()
    tasks = {task["name"]: task for task in description["tasks"]}
    for family in description["families"]:
        assert set(family["tasks"]) <= set(tasks)
        assert [expert["colour"] for expert in family["experts"]] == list(range(len(family["experts"])))
    assert set(tasks["basins/digits"]["splits"]) == {"train", "calibration", "validation", "test"}


def test_identity_is_the_recipes_and_nothing_elses(bench: ZooBench, state: StudioState) -> None:
    same = replace(state, metric="accuracy", path=PathChoice())
    other = replace(state, recipe=changes.with_weight(state.recipe, 0, 0.5))
    assert bench.identity(state) == bench.identity(same) != bench.identity(other)


def test_a_pin_of_other_content_is_refused(bench: ZooBench, state: StudioState) -> None:
    pinned = merged(state, LEFT + "@0123456789abcdef")
    with pytest.raises(CheckpointError):
        bench.identity(pinned)


def test_numbers_are_those_of_an_evaluation_of_the_same_weights(bench: ZooBench, state: StudioState) -> None:
    scored = bench.accuracy(state, "validation", "full", never)
    weights = bench._engine.merge(state.recipe).weights
    config = bench._catalog.open(LEFT).config
    task = load_task(bench._zoo.task_folder("basins/digits"))
    report = Evaluator("cpu").evaluate(config, weights, [task], "validation")
    assert scored.numbers["average"]["accuracy"] == report.average
    assert scored.numbers["tasks"][0]["interval"] == list(report.tasks[0].interval)
    assert scored.correct["basins/digits"].mean() == pytest.approx(report.average)
    assert np.array_equal(scored.correct["basins/digits"][report.tasks[0].examples], report.tasks[0].correct)


def test_a_preview_is_the_beginning_of_the_whole_whichever_comes_first(bench: ZooBench, state: StudioState) -> None:
    before = replace(state, recipe=changes.with_weight(state.recipe, 0, 0.31))
    preview = bench.accuracy(before, "validation", "preview", never).numbers
    bench.accuracy(before, "validation", "full", never)
    after = replace(state, recipe=changes.with_weight(state.recipe, 0, 0.37))
    bench.accuracy(after, "validation", "full", never)
    derived = bench.accuracy(after, "validation", "preview", never).numbers
    assert preview["n"] == derived["n"] == PREVIEW
    assert preview["partial"] is True and derived["partial"] is True and derived["subset"] == "preview"
    fresh = ZooBench(Settings.from_env({"BASIN_ZOO": str(bench._zoo.root), "BASIN_DEVICE": "cpu"}, make_folder=False))
    assert fresh.accuracy(after, "validation", "preview", never).numbers == derived


def test_at_lambda_zero_the_merge_is_the_base(bench: ZooBench, state: StudioState) -> None:
    numbers = bench.accuracy(merged(state, LEFT, RIGHT, lambda_=0.0), "validation", "full", never).numbers
    assert numbers["average"]["accuracy"] == numbers["average"]["references"]["base"]


def test_one_expert_alone_is_that_expert(bench: ZooBench, state: StudioState) -> None:
    numbers = bench.accuracy(merged(state, LEFT), "validation", "full", never).numbers
    assert numbers["average"]["accuracy"] == numbers["average"]["references"]["expert"]
    assert numbers["normalised"]["value"] == 1.0


def test_the_simple_average_is_the_linear_merge_of_all(bench: ZooBench, state: StudioState, family: Family) -> None:
    refs = [expert.ref for expert in family.experts]
    numbers = bench.accuracy(merged(state, *refs, method="linear"), "validation", "full", never).numbers
    assert numbers["average"]["accuracy"] == numbers["average"]["references"]["average"]


def test_a_path_begins_coarse_and_ends_with_25_points(bench: ZooBench, state: StudioState) -> None:
    merge = merged(state, LEFT, RIGHT, lambda_=0.3)
    merge = replace(merge, path=PathChoice())
    coarse = bench.path(merge, False, never)
    assert [point["t"] for point in coarse["splits"]["validation"]["points"]] == [0.0, 0.3, 0.75, 1.5]
    assert coarse["complete"] is False and (coarse["a"], coarse["b"]) == ("base", "λ = 1.5")
    fine = bench.path(merge, True, never)
    assert fine["complete"] is True and len(fine["splits"]["train"]["points"]) == 25
    preview = bench.accuracy(merge, "validation", "preview", never).numbers
    here = next(point for point in coarse["splits"]["validation"]["points"] if point["t"] == 0.3)
    assert here["accuracy"] == preview["average"]["accuracy"]
    assert fine["splits"]["validation"]["points"][0]["accuracy"] == preview["average"]["references"]["base"]


def test_a_lambda_beyond_the_path_has_no_place_on_it(bench: ZooBench, state: StudioState) -> None:
    merge = replace(merged(state, LEFT, RIGHT, lambda_=2.0), path=PathChoice())
    assert bench.path(merge, False, never)["current"] is None


def test_strangers_have_a_barrier_between_them_and_siblings_do_not(bench: ZooBench, state: StudioState) -> None:
    def height(b: str) -> float:
        between = replace(state, path=PathChoice("between", LEFT, b))
        found: float = bench.path(between, True, never)["barrier"]["validation"]["loss"]["height"]
        return found

    assert height(STRANGER) > 10 * max(height(RIGHT), 0.01)


def test_a_cancelled_path_keeps_what_it_knows(bench: ZooBench, state: StudioState) -> None:
    asked = 0

    def after(times: float) -> Callable[[], bool]:
        def asking() -> bool:
            nonlocal asked
            asked += 1
            return asked > times

        return asking

    between = replace(state, path=PathChoice("between", RIGHT, STRANGER))
    known = len(bench.path(between, False, after(math.inf))["splits"]["validation"]["points"])
    with pytest.raises(CancelledError):
        bench.path(between, True, after(3 * asked))
    assert known < len(bench.path(between, False, never)["splits"]["validation"]["points"]) < 25


def test_factors_are_told_apart_from_lambda(bench: ZooBench, state: StudioState) -> None:
    for lambda_ in (0.0, 0.5, 1.0):
        numbers = bench.layers(merged(state, LEFT, RIGHT, lambda_=lambda_))
        assert numbers["factors"] == [1.0] * len(numbers["depths"])
        assert numbers["scaling"]["draggable"] is True and numbers["kept"] is None
        assert [numbers["cosines"][place][place] for place in range(2)] == pytest.approx([1.0, 1.0])


def test_a_lambda_that_differs_between_leaves_is_measured_and_has_no_place_on_the_path(
    bench: ZooBench, state: StudioState
) -> None:
    plain = merged(state, LEFT, RIGHT)
    varied = replace(plain, recipe=changes.with_lambda(plain.recipe, Varying((Case("", (0.0, 1.0)),))))
    along = replace(varied, path=PathChoice())
    bench.accuracy(along, "validation", "preview", never)
    path = bench.path(along, False, never)
    assert (path["kind"], path["current"]) == ("lambda", None)
    numbers, one = bench.layers(varied), bench.layers(plain)
    lengths = [[told["merged_norms"][told["depths"].index(str(at))] for at in range(5)] for told in (numbers, one)]
    shares = [mine / whole for mine, whole in zip(*lengths, strict=True)]
    assert shares == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0], abs=1e-12)
    assert numbers["factors"] == one["factors"]
    assert bench.identity(varied) != bench.identity(plain)


def test_layers_follow_the_line_and_say_the_alpha_of_a_rule(bench: ZooBench, state: StudioState) -> None:
    merge = merged(state, LEFT, RIGHT, lambda_=0.5)
    line = replace(merge, recipe=changes.with_layer_scaling(merge.recipe, "lines", alpha=0.5, beta=1.0))
    numbers = bench.layers(line)
    blocks = [point["value"] for point in numbers["scaling"]["points"]]
    assert blocks == pytest.approx([0.5 + step / (len(blocks) - 1) for step in range(len(blocks))])
    rule = replace(merge, recipe=changes.with_layer_scaling(merge.recipe, "lines", beta=0.0, alpha_rule="sum"))
    assert bench.layers(rule)["alpha"] == pytest.approx(0.5)


def test_a_cancelled_evaluation_is_not_remembered(bench: ZooBench, state: StudioState) -> None:
    merge = replace(state, recipe=changes.with_weight(state.recipe, 1, 0.123))
    with pytest.raises(CancelledError):
        bench.accuracy(merge, "validation", "full", lambda: True)
    assert bench.accuracy(merge, "validation", "full", never).numbers["partial"] is False


def test_a_difference_is_second_minus_first_and_nothing_against_itself(bench: ZooBench, state: StudioState) -> None:
    good = bench.accuracy(merged(state, LEFT), "validation", "full", never)
    bad = bench.accuracy(merged(state, LEFT, STRANGER, method="linear"), "validation", "full", never)
    packed = pairs.unpack(pairs.pack(good.correct))
    same = bench.difference(good.correct, packed)["average"]
    assert (same["difference"], same["interval"]) == (0.0, [0.0, 0.0])
    worse = bench.difference(good.correct, bad.correct)
    expected = bad.numbers["average"]["accuracy"] - good.numbers["average"]["accuracy"]
    assert worse["average"]["difference"] == pytest.approx(expected)
    assert worse["average"]["interval"][1] < 0
    assert worse["average"]["n"] == good.numbers["n"] and worse["tasks"][0]["title"]


def test_a_difference_calls_a_task_as_the_charts_do(bench: ZooBench) -> None:
    answers = {"tiny/shapes": np.array([True, False])}
    assert bench.difference(answers, answers)["tasks"][0]["title"] == "Shapes"
    spec = parse_spec({"source": "local:flags", "head": "zero_shot", "model": "local:clip"})
    own = own_name("zoo:tiny/base", [("zoo:tiny/shapes", spec.name), ("zoo:tiny/digits", None)], [spec.name], [spec])
    answers = {spec.name: np.array([True, False])}
    assert bench.difference(answers, answers)["tasks"][0]["title"] == spec.name
    assert bench.difference(answers, answers, family_named(bench.families, own))["tasks"][0]["title"] == "flags"


def test_a_zoo_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    settings = Settings.from_env({"BASIN_DATA": str(tmp_path)})
    with pytest.raises(CheckpointError, match="the zoo has a manifest"):
        ZooBench(replace(settings, zoo=tmp_path))
