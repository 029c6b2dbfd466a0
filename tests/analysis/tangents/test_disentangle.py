"""Weight disentanglement against a direct double loop in float64, for the model and for its linearisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy
import pytest
import torch

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec, parse_study
from merging_core.analysis.tangents.disentangle import DISENTANGLE
from merging_core.errors import RecipeError
from tests.analysis.studies.small import small_bench

Leaves = dict[str, torch.Tensor]
MODELS = ("zoo:basins/left", "zoo:basins/stranger-1", "zoo:basins/right", "zoo:basins/stranger-2")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


def asked(models: tuple[str, ...]) -> StudySpec:
    study = {"name": "disentangle", "params": {"range": 1.0, "steps": 2}}
    return parse_study({"version": 1, "study": study, "base": "zoo:basins/start", "models": list(models)})


def forward(leaves: Leaves, rows: torch.Tensor) -> torch.Tensor:
    """A perceptron of the zoo, written down again."""
    out = rows.flatten(1)
    count = len(leaves) // 2
    for layer in range(count):
        out = out @ leaves[f"layers.{layer}.weight"].T + leaves[f"layers.{layer}.bias"]
        out = out.clamp(min=0) if layer < count - 1 else out
    return out


def linear(base: Leaves, rows: torch.Tensor) -> Callable[[Leaves], torch.Tensor]:
    """The linearised model, by torch's own derivative."""
    names = tuple(base)

    def at(leaves: Leaves) -> torch.Tensor:
        steps = tuple(leaves[name] - base[name] for name in names)

        def plain(*given: torch.Tensor) -> torch.Tensor:
            return forward(dict(zip(names, given, strict=True)), rows)

        value, slope = torch.func.jvp(plain, tuple(base.values()), steps)
        return cast("torch.Tensor", value + slope)

    return at


def test_each_cell_is_that_of_a_direct_double_loop_in_float64(bench: StudyBench) -> None:
    *_, last = DISENTANGLE.answer(asked(MODELS), bench, Memory())
    numbers = cast("dict[str, Any]", last.numbers)
    (task,) = bench.tasks
    rows = task.prepared(cast("Any", task).inputs("validation")).double()
    base, *experts = (
        {name: leaf.double() for name, leaf in bench.engine.checkpoint(ref).items()}
        for ref in ("zoo:basins/start", *MODELS)
    )
    taus = [{name: expert[name] - base[name] for name in base} for expert in experts]
    straight = linear(base, rows)
    kinds: list[tuple[str, Callable[[Leaves], torch.Tensor], int]] = [
        ("non-linear", lambda leaves: forward(leaves, rows), 0),
        ("post-hoc linearised", straight, 0),
        ("linearly fine-tuned", straight, 2),
    ]
    assert [found["name"] for found in numbers["maps"]] == [name for name, _, _ in kinds]
    assert numbers["alphas"] == [-1.0, -0.5, 0.0, 0.5, 1.0] and numbers["n"] == {"validation": 56}
    for found, (_, model, first) in zip(numbers["maps"], kinds, strict=True):

        def classes(a: float, b: float) -> torch.Tensor:
            return model({n: base[n] + a * taus[first][n] + b * taus[first + 1][n] for n in base}).argmax(dim=1)  # noqa: B023

        inside = []
        for i, one in enumerate(numbers["alphas"]):
            for j, other in enumerate(numbers["alphas"]):
                both = classes(one, other)
                terms = [float((classes(*alone) != both).double().mean()) for alone in ((one, 0.0), (0.0, other))]
                assert found["first"][j][i] == pytest.approx(terms[0], abs=1e-9)
                assert found["second"][j][i] == pytest.approx(terms[1], abs=1e-9)
                assert found["values"][j][i] == pytest.approx(sum(terms), abs=1e-9)
                assert found["low"][j][i] <= sum(terms) <= found["high"][j][i]
                inside += [sum(terms)] if 0.0 <= one <= 1.0 and 0.0 <= other <= 1.0 else []
        assert found["box"]["cells"] == 9 == len(inside)
        assert found["box"]["value"] == pytest.approx(numpy.mean(inside), abs=1e-9)
        low, high = found["box"]["interval"]
        assert low <= found["box"]["value"] <= high and high - low < 1.0
    for less, found in zip(numbers["less"], numbers["maps"][1:], strict=True):
        gap = numbers["maps"][0]["box"]["value"] - found["box"]["value"]
        assert less["value"] == pytest.approx(gap, abs=1e-9) and less["interval"][0] <= gap <= less["interval"][1]


def test_one_vector_alone_disturbs_only_the_other_ones_task(bench: StudyBench) -> None:
    *_, last = DISENTANGLE.answer(asked(MODELS[:2]), bench, Memory())
    for found in cast("dict[str, Any]", last.numbers)["maps"]:
        middle = len(found["values"]) // 2
        assert found["values"][middle][middle] == 0.0
        assert found["first"][middle] == [0.0] * len(found["values"])
        assert [row[middle] for row in found["second"]] == [0.0] * len(found["values"])


def test_a_grid_too_wide_for_useful_coefficients_says_nothing_of_them(bench: StudyBench) -> None:
    wide = {**asked(MODELS[:2]).as_json(), "study": {"name": "disentangle", "params": {"range": 3.0, "steps": 2}}}
    *_, last = DISENTANGLE.answer(parse_study({**wide, "subset": "preview"}), bench, Memory())
    numbers = cast("dict[str, Any]", last.numbers)
    assert [found["box"] for found in numbers["maps"]] == [None, None] and numbers["less"] == []


def test_three_models_are_refused(bench: StudyBench) -> None:
    with pytest.raises(RecipeError, match="given for both tasks or for none"):
        next(DISENTANGLE.answer(asked(MODELS[:3]), bench, Memory()))


def test_two_splits_are_refused(bench: StudyBench) -> None:
    spec = parse_study({**asked(MODELS[:2]).as_json(), "splits": ["validation", "train"]})
    with pytest.raises(RecipeError, match="measured on one split"):
        next(DISENTANGLE.answer(spec, bench, Memory()))
