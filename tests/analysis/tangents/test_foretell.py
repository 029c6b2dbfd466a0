"""Tangent prediction against the linearised model in float64, and exact where the model is linear already."""

from __future__ import annotations

from typing import Any, cast

import numpy
import pytest
import torch

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.analysis.tangents.foretell import TANGENT
from merging_core.evaluation.intervals import difference, pair_counts
from tests.analysis.studies.small import small_bench
from tests.analysis.tangents.test_disentangle import forward, linear

MODELS = ("zoo:basins/left", "zoo:basins/stranger-1")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


def whole(bench: StudyBench, models: tuple[str, ...] = MODELS) -> dict[str, Any]:
    study = {"name": "tangent", "params": {"range": 1.5, "points": 4}}
    spec = parse_study({"version": 1, "study": study, "base": "zoo:basins/start", "models": list(models)})
    *_, last = TANGENT.answer(spec, bench, Memory())
    return dict(last.numbers)


def test_foretold_and_true_accuracies_are_those_of_float64(bench: StudyBench) -> None:
    numbers = whole(bench)
    (task,) = bench.tasks
    order = torch.tensor(task.splits["validation"].order)
    rows = task.prepared(cast("Any", task).inputs("validation")).double()
    labels = task.labels("validation")[order]
    base, *experts = (
        {name: leaf.double() for name, leaf in bench.engine.checkpoint(ref).items()}
        for ref in ("zoo:basins/start", *MODELS)
    )
    straight = linear(base, rows)
    assert [point["lambda"] for point in numbers["points"]] == [0.0, 0.5, 1.0, 1.5]
    for point in numbers["points"]:
        at = {
            name: leaf + point["lambda"] * sum(expert[name] - leaf for expert in experts) for name, leaf in base.items()
        }
        true, foretold = forward(at, rows).argmax(dim=1), straight(at).argmax(dim=1)
        (row,) = point["tasks"]
        assert row["n"] == 28 and row["accuracy"] == pytest.approx(float((true == labels).double().mean()))
        assert row["foretold"] == pytest.approx(float((foretold == labels).double().mean()))
        assert row["same"] == pytest.approx(float((foretold == true).double().mean()))
        expected = difference([pair_counts((foretold == labels).numpy(), (true == labels).numpy())])
        assert row["error"]["value"] == pytest.approx(expected.value)
        assert row["error"]["interval"] == pytest.approx(list(expected.interval))
        assert point["mean"]["accuracy"] == row["accuracy"] and point["mean"]["error"] == row["error"]
    assert any(not numpy.isclose(point["mean"]["same"], 1.0) for point in numbers["points"])


def test_at_the_base_the_prediction_is_the_model(bench: StudyBench) -> None:
    point = whole(bench, MODELS[:1])["points"][0]
    assert point["lambda"] == 0.0 and point["mean"]["same"] == 1.0
    assert point["mean"]["error"] == {"value": 0.0, "interval": [0.0, 0.0]}
