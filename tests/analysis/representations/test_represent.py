"""Representations of the zoo's perceptrons, against their layers written out in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray

from merging_core.analysis.representations.states import reader
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.errors import EvaluationError
from tests.analysis.representations.test_alike import cka, hsic
from tests.analysis.studies.small import small_bench
from tests.evaluation.models import made

Array = NDArray[numpy.float64]
MODELS = ("zoo:basins/left", "zoo:basins/stranger-1")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


def asked(bench: StudyBench, base: str | None = "zoo:basins/start", models: Any = MODELS, **params: Any) -> Any:
    spec = parse_study(
        {"version": 1, "study": {"name": "representations", "params": params}, "base": base, "models": list(models)}
    )
    *_, last = spec.info.answer(spec, bench, Memory())
    return last.numbers


def layers(bench: StudyBench, ref: str) -> list[Array]:
    """What a perceptron holds after each layer: h ↦ max(0, W h + b), the last without the maximum."""
    task = bench.tasks[0]
    weights = {name: leaf.double().numpy() for name, leaf in bench.engine.checkpoint(ref).items()}
    values = task.prepared(task.inputs("validation")).double().flatten(1).numpy()
    found = [values]
    for index in range(5):
        values = values @ weights[f"layers.{index}.weight"].T + weights[f"layers.{index}.bias"]
        values = numpy.maximum(values, 0.0) if index < 4 else values
        found.append(values)
    return found


def test_cka_drift_and_the_matrix_are_those_of_the_layers_written_out(bench: StudyBench) -> None:
    numbers = asked(bench)
    base, one, other = (layers(bench, ref) for ref in ("zoo:basins/start", *MODELS))
    assert numbers["layers"] == ["before", "block 1", "block 2", "block 3", "block 4", "output"]
    expected = {(None, 0): (base, one), (None, 1): (base, other), (0, 1): (one, other)}
    for pair in numbers["pairs"]:
        left, right = expected[pair["first"], pair["second"]]
        values = [row["value"] for row in pair["means"][0]["cka"]]
        assert values == pytest.approx([cka(x, y) for x, y in zip(left, right, strict=True)], abs=1e-5)
    for moved, states in zip(numbers["moved"], (one, other), strict=True):
        lengths = [
            numpy.linalg.norm(x - y, axis=1) / numpy.linalg.norm(y, axis=1) for x, y in zip(states, base, strict=True)
        ]
        assert [row["value"] for row in moved["means"][0]["distance"]] == pytest.approx(
            [float(values.mean()) for values in lengths], abs=1e-5
        )
    assert numpy.array(numbers["matrix"]["values"]) == pytest.approx(
        numpy.array([[cka(x, y) for y in other] for x in one]), abs=1e-5
    )


def test_batches_are_added_up_before_the_ratio_is_taken(bench: StudyBench) -> None:
    one, other = (layers(bench, ref)[2] for ref in MODELS)
    halves = [(one[:14], other[:14]), (one[14:], other[14:])]
    sums = [
        sum(hsic(*pair) for pair in ways) for ways in (halves, [(x, x) for x, _ in halves], [(y, y) for _, y in halves])
    ]
    value = asked(bench, base=None, batch=14)["pairs"][0]["means"][0]["cka"][2]["value"]
    assert value == pytest.approx(sums[0] / numpy.sqrt(sums[1] * sums[2]), abs=1e-5)


def test_intervals_are_those_of_the_jackknife(bench: StudyBench) -> None:
    one, other = (layers(bench, ref)[1] for ref in MODELS)
    without = [cka(numpy.delete(one, i, 0), numpy.delete(other, i, 0)) for i in range(28)]
    spread = numpy.sqrt(27 * numpy.var(without))
    value = cka(one, other)
    half = 1.959964 * spread / (1 - value**2)
    expected = [float(numpy.tanh(numpy.arctanh(value) + side * half)) for side in (-1, 1)]
    assert asked(bench, base=None)["pairs"][0]["tasks"][0]["cka"][1]["interval"] == pytest.approx(expected, abs=1e-5)


def test_a_model_is_like_itself_and_has_not_moved_from_itself(bench: StudyBench) -> None:
    numbers = asked(bench, base="zoo:basins/left", models=MODELS[:1])
    assert [row["value"] for row in numbers["pairs"][0]["means"][0]["cka"]] == pytest.approx([1.0] * 6)
    assert [row["value"] for row in numbers["moved"][0]["means"][0]["distance"]] == [0.0] * 6


def test_the_states_of_a_transformer_are_those_of_transformers(bench: StudyBench) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=12, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=8, patch_size=4,
        num_channels=1,
    )  # fmt: skip
    model = made(CLIPVisionModel, config)
    pixels = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    task = replace(bench.tasks[0], head=_Anything())  # type: ignore[type-var]
    object.__setattr__(task, "prepared", lambda rows: rows)
    one = reader(config.to_dict(), model.state_dict(), task, torch.device("cpu"), "all")
    states = one.states(pixels)
    with torch.no_grad():
        expected = model(pixels, output_hidden_states=True)
    assert list(states) == ["before", "block 1", "block 2", "block 3", "output"]
    for name, hidden in zip(states, expected.hidden_states[:3], strict=False):
        assert torch.allclose(states[name], hidden.flatten(1), atol=1e-5), name
    assert torch.allclose(states["block 3"], expected.hidden_states[3][:, 0], atol=1e-5)
    assert torch.allclose(states["output"], expected.pooler_output, atol=1e-5)


class _Anything:
    """A head that takes whatever comes."""

    def width_for(self, projected: bool) -> int:
        return 12


def test_what_cannot_be_compared_is_said_at_once(bench: StudyBench) -> None:
    with pytest.raises(EvaluationError, match="(?s)one model came.*model 0 is the base"):
        asked(bench, base=None, models=MODELS[:1], rows=0)
