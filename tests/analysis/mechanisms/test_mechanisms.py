"""Effects and their agreement against plain counting, and what the zoo's basins say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray

from merging_core.analysis.mechanisms.effects import Effect, agreement, effect_of, rank_correlation
from merging_core.analysis.mechanisms.interventions import changed, interventions
from merging_core.analysis.mechanisms.outcomes import Outcome
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.errors import EvaluationError
from merging_core.evaluation.predictions import logits_of
from merging_core.evaluation.text_tasks import TextClassification
from tests.analysis.studies.small import small_bench

MODELS = ("zoo:basins/left", "zoo:basins/right", "zoo:basins/stranger-1")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


@pytest.fixture(scope="module")
def numbers(bench: StudyBench) -> dict[str, Any]:
    spec = parse_study({"version": 1, "study": "mechanisms", "models": list(MODELS)})
    *_, last = spec.info.answer(spec, bench, Memory())
    return dict(last.numbers)


def told(bench: StudyBench, ref: str, name: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Loss of each picture in float64, and its answer, worked out one by one."""
    task: Any = bench.tasks[0]
    rows = task.inputs("validation")
    labels = task.labels("validation")[torch.tensor(task.splits["validation"].order)]
    change = next((one for one in interventions() if one.name == name), None)
    pictures = rows if change is None else changed(rows, change, 0)
    weights = bench.engine.checkpoint(ref)
    logits = logits_of(bench.engine.opened(ref).config, weights, task, pictures).double()
    nats = -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels]
    return nats.numpy(), logits.argmax(dim=1).numpy()


@pytest.mark.parametrize("name", ["inverted", "striped", "turned"])
def test_effects_are_those_of_pictures_changed_one_by_one(
    bench: StudyBench, numbers: dict[str, Any], name: str
) -> None:
    for place, ref in enumerate(MODELS):
        before, after = told(bench, ref, None), told(bench, ref, name)
        row = next(one for one in numbers["effects"] if (one["intervention"], one["model"]) == (name, place))
        assert row["mean"]["loss"]["value"] == pytest.approx(float((after[0] - before[0]).mean()), abs=1e-4)
        assert row["mean"]["flips"]["value"] == pytest.approx(float((after[1] != before[1]).mean()))
    first, other = (told(bench, ref, name)[0] - told(bench, ref, None)[0] for ref in MODELS[:2])
    pair = next(one for one in numbers["pairs"][0]["agreements"] if one["intervention"] == name)
    ranks = numpy.corrcoef(first.argsort().argsort(), other.argsort().argsort())[0, 1]
    assert pair["correlation"]["value"] == pytest.approx(ranks, abs=2e-3)


def test_models_of_one_basin_are_more_alike_than_strangers(numbers: dict[str, Any]) -> None:
    by_pair = {(pair["first"], pair["second"]): pair for pair in numbers["pairs"]}
    near, far = by_pair[0, 1], by_pair[0, 2]
    assert near["barriers"][0]["height"] < 0.05 < 0.5 < far["barriers"][0]["height"]
    assert near["similarity"][0]["both"] > far["similarity"][0]["both"] + 0.1


def test_ranks_share_their_mean_and_a_constant_has_no_correlation() -> None:
    assert rank_correlation(numpy.array([1.0, 1.0, 2.0]), numpy.array([0.0, 1.0, 2.0])) == pytest.approx(
        numpy.corrcoef([1.5, 1.5, 3.0], [1, 2, 3])[0, 1]
    )
    assert numpy.isnan(rank_correlation(numpy.ones(3), numpy.arange(3.0)))


def test_kappa_is_agreement_beyond_chance() -> None:
    flips = numpy.array([True] * 5 + [False] * 5)
    pairs = {"right": None, "losses": numpy.arange(10.0)}
    one = Effect(flipped=flips, **pairs)  # type: ignore[arg-type]
    other = Effect(flipped=numpy.array([True, False] * 5), **pairs)  # type: ignore[arg-type]
    never = Effect(flipped=numpy.zeros(10, dtype=bool), **pairs)  # type: ignore[arg-type]
    assert agreement([one], [one])["kappa"] == pytest.approx(1.0)
    assert agreement([one], [other])["kappa"] == pytest.approx((0.6 - 0.5) / 0.5)
    assert agreement([never], [never])["kappa"] is None


def test_an_effect_is_on_the_examples_that_both_know() -> None:
    before = Outcome(numpy.array([1.0, 2.0, 3.0]), numpy.array([0, 1, 2]), numpy.array([0, 1, 1]))
    after = Outcome(numpy.array([4.0, 2.0]), numpy.array([1, 1]), numpy.array([0, 1]))
    found = effect_of(before, after)
    assert found.losses.tolist() == [3.0, 0.0] and found.flipped.tolist() == [True, False]
    assert (found.right.both, found.right.first_only, found.right.second_only) == (1, 0, 1)


def test_texts_have_no_changes_and_are_named(bench: StudyBench) -> None:
    spec = parse_study({"version": 1, "study": "mechanisms", "models": list(MODELS)})
    texts: Any = TextClassification.__new__(TextClassification)
    object.__setattr__(texts, "name", "reviews")
    with pytest.raises(EvaluationError, match="reviews: what is changed are pictures"):
        next(spec.info.answer(spec, replace(bench, tasks=(texts,)), Memory()))
