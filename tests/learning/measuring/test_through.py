"""RegMean++: layers merged one after the other, against a float64 walk through a perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from merging_core.engines import LiveEngine, make_plan
from merging_core.learning import Finished, Progress, open_run
from merging_core.learning.batches import rows_of_batch
from merging_core.learning.measuring.through import MeasuringThrough
from tests.learning.world import World


def finished(small: World, **changes: Any) -> Finished:
    with open_run(small.spec("regmean_plus_plus", **changes), small.bench()) as run:
        *_, last = run.events()
    assert isinstance(last, Finished)
    return last


def walked64(small: World, off: float) -> dict[str, np.ndarray]:
    """Merge a perceptron of two layers by the formulas: the second from what the merged first lets through."""
    experts = []
    for ref in small.experts:
        checkpoint = small.catalog.open(ref)
        experts.append({name: checkpoint.read(name).double().numpy() for name in checkpoint.leaves})
    merged = {name: sum(one[name] for one in experts) / len(experts) for name in experts[0]}
    inputs = []
    for task in small.tasks:
        chosen = rows_of_batch(18, 18, 0, 0, task.name)
        inputs.append(task.prepared(task.inputs("train")[chosen]).flatten(1).double().numpy())
    for layer in ("layers.0", "layers.1"):
        grams = [x.T @ x / len(x) for x in inputs]
        grams = [off * gram + (1 - off) * np.diag(np.diag(gram)) for gram in grams]
        right = sum(gram @ one[f"{layer}.weight"].T for gram, one in zip(grams, experts, strict=True))
        merged[f"{layer}.weight"] = np.linalg.lstsq(sum(grams), right, rcond=None)[0].T
        inputs = [np.maximum(x @ merged[f"{layer}.weight"].T + merged[f"{layer}.bias"], 0) for x in inputs]
    return merged


@pytest.mark.parametrize("off", [0.9, 0.5])
def test_each_layer_is_found_for_what_the_merged_one_before_lets_through(off: float, small: World) -> None:
    last = finished(small, params={"off_diagonal": off})
    merged = LiveEngine(small.catalog, "cpu").merge(last.recipe).weights
    for name, expected in walked64(small, off).items():
        np.testing.assert_allclose(merged[name].double().numpy(), expected, rtol=2e-4, atol=2e-5, err_msg=name)
    told = make_plan(last.recipe, small.catalog).as_json()["statistics"]
    assert told[0].startswith("Gram matrices through the merged layers of 18 examples of small/task-0")


def test_what_it_went_through_has_the_bits_of_the_recipe(small: World) -> None:
    spec = small.spec("regmean_plus_plus", params={"off_diagonal": [0.5, 0.9], "ridge": 0.01})
    with MeasuringThrough(spec, small.bench()) as run:
        *_, last = run.events()
        assert isinstance(last, Finished)
        through = dict(run._merged)
    assert set(through) == {"layers.0.weight", "layers.0.bias"}
    merged = LiveEngine(small.catalog, "cpu").merge(last.recipe).weights
    assert all(torch.equal(leaf, merged[name]) for name, leaf in through.items())


def test_other_numbers_of_the_merge_are_measured_again_and_the_same_are_found(small: World) -> None:
    first = finished(small)
    with open_run(small.spec("regmean_plus_plus"), small.bench()) as run:
        events = list(run.events())
        assert run.steps == 20
    assert [event.step for event in events if isinstance(event, Progress)] == [0]
    assert isinstance(events[-1], Finished) and events[-1].recipe == first.recipe
    second = finished(small, params={"off_diagonal": 0.1})
    assert second.recipe.models[0].statistics != first.recipe.models[0].statistics


def test_told_to_stop_it_merges_the_depths_that_it_went_through(small: World) -> None:
    answers = iter(["go"] * 13 + ["stop"])
    with open_run(small.spec("regmean_plus_plus"), small.bench()) as run:
        *_, last = run.events(lambda: next(answers))  # type: ignore[arg-type, return-value]
    assert isinstance(last, Finished) and last.stopped
    whole = LiveEngine(small.catalog, "cpu").merge(finished(small).recipe).weights
    part = LiveEngine(small.catalog, "cpu").merge(last.recipe).weights
    average = LiveEngine(small.catalog, "cpu").merge(small.spec("regmean_plus_plus").recipe()).weights
    assert torch.equal(part["layers.0.weight"], whole["layers.0.weight"])
    assert torch.equal(part["layers.1.weight"], average["layers.1.weight"])
    assert not torch.equal(whole["layers.1.weight"], average["layers.1.weight"])
