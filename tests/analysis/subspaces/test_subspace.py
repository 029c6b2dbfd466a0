"""The best place of a subspace: chosen on one half, judged on the other, made by its recipe."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from merging_core.analysis.studies.contract import Finding, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.analysis.subspaces.told import told
from merging_core.errors import EvaluationError
from merging_core.evaluation.report import make_score
from merging_core.recipes.parse import parse_recipe
from tests.analysis.studies.small import small_bench

MODELS = ("zoo:basins/left", "zoo:basins/right", "zoo:basins/stranger-1")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


def found(bench: StudyBench, base: str | None = "zoo:basins/start", memory: Memory | None = None, **params: Any) -> Any:
    study = {"name": "subspace", "params": {"points": 3, "tries": 6, **params}}
    spec = parse_study({"version": 1, "study": study, "base": base, "models": list(MODELS)})
    last: Finding
    *_, last = spec.info.answer(spec, bench, memory or Memory())
    return last.numbers


@pytest.mark.parametrize("within", ["hull", "span"])
def test_the_recipe_of_the_best_place_has_its_loss(bench: StudyBench, within: str) -> None:
    numbers = found(bench, within=within)
    recipe = parse_recipe(numbers["recipe"])
    merged = bench.engine.merge(recipe)
    config = bench.engine.opened(MODELS[0]).config
    (score,) = bench.evaluator.evaluate(config, merged.weights, bench.tasks).tasks
    assert float(score.losses[14:].mean()) == pytest.approx(numbers["best"]["held_out"][0]["loss"], abs=1e-4)
    assert float(score.losses[:14].mean()) == pytest.approx(numbers["best"]["chosen_by"], abs=1e-4)


def test_a_place_is_chosen_on_one_half_and_judged_on_the_other(bench: StudyBench) -> None:
    memory = Memory()
    numbers = found(bench, memory=memory)
    losses = {name: memory.get(name)["losses"] for name in memory}  # type: ignore[index]
    assert all(len(values) == 28 for values in losses.values())
    halves = {name: (float(values[:14].mean()), float(values[14:].mean())) for name, values in losses.items()}
    chosen, judged = min(halves.values())
    assert numbers["best"]["chosen_by"] == pytest.approx(chosen, abs=1e-6)
    assert numbers["best"]["held_out"][0]["loss"] == pytest.approx(judged, abs=1e-6)
    assert numbers["best"]["held_out"][0]["n"] == numbers["judged"]["validation"] == 14
    assert "14 judge" in numbers["sentence"]


def test_a_gain_is_the_paired_difference_on_the_half_that_judges(bench: StudyBench) -> None:
    memory = Memory()
    numbers = found(bench, memory=memory)
    names = {tuple(map(float, name.split("|")[0].split()[1:])): name for name in memory}
    at = lambda weights: memory.get(names[tuple(weights)])["losses"][14:].astype(numpy.float64)  # type: ignore[index]  # noqa: E731
    centroid = next(one for one in numbers["gains"] if one["over"] == "centroid")
    differences = at(numbers["best"]["weights"]) - at([1 / 3] * 3)
    half = 1.959964 * differences.std(ddof=1) / numpy.sqrt(14)
    assert centroid["loss"]["value"] == pytest.approx(differences.mean(), abs=1e-6)
    assert centroid["loss"]["interval"] == pytest.approx(
        [differences.mean() - half, differences.mean() + half], abs=1e-5
    )


def test_the_search_goes_below_every_place_that_it_began_with(bench: StudyBench) -> None:
    numbers = found(bench, tries=20)
    begun = [one["chosen_by"] for one in numbers["places"] if one["kind"] != "search"]
    assert numbers["best"]["kind"] == "search" and numbers["best"]["chosen_by"] < min(begun)
    assert sum(one["kind"] == "search" for one in numbers["places"]) <= 20


def test_a_merge_among_the_models_leaves_no_recipe_and_a_span_wants_a_base(bench: StudyBench) -> None:
    recipe = {"version": 1, "models": [{"ref": MODELS[0]}, {"ref": MODELS[1]}], "method": {"name": "linear"}}
    study = {"name": "subspace", "params": {"points": 0, "tries": 0}}
    spec = parse_study({"version": 1, "study": study, "models": [{"recipe": recipe}, MODELS[2]]})
    *_, last = spec.info.answer(spec, bench, Memory())
    assert last.numbers["recipe"] is None
    with pytest.raises(EvaluationError, match="a span lies around a base"):
        found(bench, base=None, within="span")


def test_the_interval_of_a_loss_does_not_go_below_nothing() -> None:
    losses = numpy.array([0.0] * 9 + [1.0], dtype=numpy.float32)
    score = make_score("a", "A", "validation", 10, numpy.arange(10), losses < 0.5, losses)
    low, high = told([score])["loss_interval"]
    assert low == 0.0 and high == pytest.approx(0.1 + 1.959964 * losses.std(ddof=1) / numpy.sqrt(10), abs=1e-5)
