"""Multi-SLERP and the Karcher mean: directions on the sphere, lengths apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.methods.contract import CombineContext, MethodInfo, contexts_of_leaves, gather_leaf
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method
from merging_core.recipes.parse import parse_recipe
from tests.engines import spheres64

KARCHER, MULTISLERP = method("karcher"), method("multislerp")
both = pytest.mark.parametrize("info", [KARCHER, MULTISLERP], ids=lambda info: info.name)
ALONE = {"karcher": spheres64.karcher, "multislerp": spheres64.multislerp}


def merged(info: MethodInfo, vectors: list[list[float]], *weights: float, **params: object) -> list[float]:
    tensor, shares = torch.tensor(vectors), torch.tensor(weights or [1.0] * len(vectors))
    common = CombineContext(Parameters({**info.defaults(), **params}))  # type: ignore[dict-item]
    (context,) = contexts_of_leaves(info, common, [gather_leaf(info, [tensor])], shares)
    return info.combine(tensor, shares, context).tolist()


@both
def test_golden_two_at_a_right_angle_with_lengths_one_and_three(info: MethodInfo) -> None:
    # The direction half way, (√½, √½), with the mean length 2.
    assert merged(info, [[1.0, 0.0], [0.0, 3.0]]) == pytest.approx([math.sqrt(2), math.sqrt(2)], rel=1e-6)


def test_golden_weights_pull_along_the_arc_by_the_karcher_mean_alone() -> None:
    # Weights 2 : 1 over 90°: the Karcher mean lies at 30°; multi-SLERP in the direction of (2, 1).
    found = merged(KARCHER, [[1.0, 0.0], [0.0, 1.0]], 2.0, 1.0, iterations=100, tolerance=1e-12)
    assert found == pytest.approx([math.cos(math.pi / 6), math.sin(math.pi / 6)], rel=1e-6)
    straight = [2 / math.sqrt(5), 1 / math.sqrt(5)]
    assert merged(MULTISLERP, [[1.0, 0.0], [0.0, 1.0]], 2.0, 1.0) == pytest.approx(straight, rel=1e-6)


@both
@pytest.mark.parametrize("count", [2, 3, 8])
def test_it_agrees_with_float64_on_the_vectors_themselves(info: MethodInfo, count: int) -> None:
    rng = np.random.default_rng(count)
    vectors = (rng.normal(size=200) * 0.5 + rng.normal(size=(count, 200))).astype(np.float32)
    weights = [float(weight) for weight in rng.uniform(0.2, 2.0, size=count)]
    wide = [{"w": vector.astype(np.float64)} for vector in vectors]
    expected = ALONE[info.name](wide, weights, info.defaults())["w"]
    np.testing.assert_allclose(merged(info, vectors.tolist(), *weights), expected, rtol=0, atol=1e-5)


def test_the_karcher_mean_has_no_pull_left_and_the_least_sum_of_squared_angles() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(4, 6)) + 0.8
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = np.array(merged(KARCHER, units.tolist(), iterations=200, tolerance=1e-10))
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)

    def spread(point: np.ndarray) -> float:
        return float((np.arccos(np.clip(units @ point / np.linalg.norm(point), -1, 1)) ** 2).sum())

    mean = np.array(merged(MULTISLERP, units.tolist()))
    assert spread(found) < spread(mean)
    assert all(spread(found) <= spread(found + 1e-2 * rng.normal(size=6)) for _ in range(50))


@both
@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 6))
def test_models_of_one_length_keep_it(info: MethodInfo, seed: int, count: int) -> None:
    drawn = torch.randn(count, 30, generator=torch.Generator().manual_seed(seed)) + 0.5
    unit = drawn / drawn.norm(dim=1, keepdim=True)
    assert math.hypot(*merged(info, unit.tolist())) == pytest.approx(1.0, abs=1e-5)


@both
@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        pytest.param([[1.0, 2.0], [-1.0, -2.0]], [0.0, 0.0], id="antipodal"),
        pytest.param([[3.0, 0.0], [-1.0, 0.0]], [1.0, 0.0], id="antipodal, unequal"),
        pytest.param([[1.0, 2.0], [2.0, 4.0]], [1.5, 3.0], id="parallel"),
        pytest.param([[0.0, 0.0], [3.0, 4.0]], [1.5, 2.0], id="one zero"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0], id="all zero"),
        pytest.param([[3.0], [5.0]], [4.0], id="one element"),
        pytest.param([[1e-30, 0.0], [1e-30, 0.0]], [1e-30, 0.0], id="tiny"),
        pytest.param([[1e30, 0.0], [1e30, 0.0]], [1e30, 0.0], id="huge"),
    ],
)
def test_edges(info: MethodInfo, vectors: list[list[float]], expected: list[float]) -> None:
    assert merged(info, vectors) == pytest.approx(expected, rel=1e-6, abs=1e-37)


def test_a_model_opposite_to_the_mean_has_no_shortest_way_and_waits() -> None:
    found = merged(KARCHER, [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert found == pytest.approx([1.0, 0.0], rel=1e-6)


def test_without_normalize_the_length_is_the_weighted_sum() -> None:
    found = merged(MULTISLERP, [[1.0, 0.0], [0.0, 1.0]], 2.0, 2.0, normalize=False)
    assert math.hypot(*found) == pytest.approx(4.0, rel=1e-6)


@both
def test_weights_of_zero_alone_are_refused(info: MethodInfo) -> None:
    models = [{"ref": f"zoo:{name}", "weight": 0.0} for name in "ab"]
    with pytest.raises(RecipeError, match="zero|above 0"):
        parse_recipe({"version": 1, "base": "zoo:base", "models": models, "method": {"name": info.name}})


def test_a_step_of_no_length_ends_the_search_where_no_step_is_short_enough() -> None:
    assert merged(KARCHER, [[3.0, 4.0]], iterations=5, tolerance=0.0) == pytest.approx([3.0, 4.0])
    twins = merged(KARCHER, [[3.0, 4.0], [6.0, 8.0]], iterations=5, tolerance=0.0)
    assert twins == pytest.approx([4.5, 6.0])
