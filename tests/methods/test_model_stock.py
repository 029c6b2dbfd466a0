"""Model Stock: the share of the way from the base to the average follows from the angle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.methods.contract import CombineContext, contexts_of_leaves, gather_leaf
from merging_core.methods.info import Parameters
from merging_core.methods.model_stock import MODEL_STOCK, interpolation_ratio, stock_coefficients
from merging_core.recipes.canonical import canonical
from merging_core.recipes.parse import parse_recipe
from tests.methods.whole import combine, drawn


def merged(vectors: list[list[float]], *weights: float) -> list[float]:
    tensor, shares = torch.tensor(vectors), torch.tensor(weights or [1.0] * len(vectors))
    (context,) = contexts_of_leaves(MODEL_STOCK, CombineContext(), [gather_leaf(MODEL_STOCK, [tensor])], shares)
    return MODEL_STOCK.combine(tensor, shares, context).tolist()


def reference(vectors: np.ndarray) -> np.ndarray:
    """The paper's formula in float64, with the mean of the pairwise cosines."""
    units = [vector / np.linalg.norm(vector) for vector in vectors.astype(np.float64)]
    angle = max(0.0, float(np.mean([a @ b for a, b in itertools.combinations(units, 2)])))
    count = len(vectors)
    return count * angle / (1 + (count - 1) * angle) * vectors.astype(np.float64).mean(axis=0)


def test_golden_two_vectors_at_sixty_degrees() -> None:
    # cos 60° = 1/2, N = 2: t = 1/(1 + 1/2) = 2/3; the average (3/4, √3/4) times 2/3.
    found = merged([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    assert found == pytest.approx([0.5, math.sqrt(3) / 6], rel=1e-6)


def test_golden_three_vectors() -> None:
    # Cosines 1, 0 and 0: the mean is 1/3, t = 1/(1 + 2/3) = 3/5; the average (2/3, 1/3) times 3/5.
    assert merged([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) == pytest.approx([0.4, 0.2], rel=1e-6)


def test_golden_three_vectors_by_their_mean_angle() -> None:
    # Angles 0°, 90° and 90°: the mean is 60°, cos 60° = 1/2, t = 3/2/(1 + 1) = 3/4 for each of three: t/3.
    products = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    found = stock_coefficients(products, [1.0, 1.0, 1.0], Parameters(mean_of="angles"))
    assert found == pytest.approx((0.25, 0.25, 0.25))
    # Opposite vectors, and a pair with a zero one, which counts as a right angle: no agreement.
    assert stock_coefficients([[1.0, -1.0], [-1.0, 1.0]], [1.0, 1.0], Parameters(mean_of="angles")) == (0.0, 0.0)
    zero = stock_coefficients([[1.0, 0.0], [0.0, 0.0]], [1.0, 1.0], Parameters(mean_of="angles"))
    assert zero == pytest.approx((0.0, 0.0), abs=1e-15)


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_float64(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=300) + 0.7 * rng.normal(size=(count, 300))).astype(np.float32)
    np.testing.assert_allclose(merged(vectors.tolist()), reference(vectors), rtol=0, atol=1e-6)


def test_equal_vectors_go_the_whole_way_and_perpendicular_ones_stay_at_the_base() -> None:
    assert merged([[2.0, 1.0], [2.0, 1.0]]) == pytest.approx([2.0, 1.0], rel=1e-7)
    assert merged([[2.0, 0.0], [0.0, 1.0]]) == [0.0, 0.0]


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param([[1.0, 2.0], [-1.0, -2.0]], id="cancelled"),
        pytest.param([[1.0], [-3.0]], id="one element, opposite"),
        pytest.param([[0.0, 0.0], [3.0, 4.0]], id="one zero"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], id="all zero"),
        pytest.param([[1.0, 0.0], [-0.5, math.sqrt(0.75)], [-0.5, -math.sqrt(0.75)]], id="balanced"),
    ],
)
def test_vectors_that_do_not_agree_stay_at_the_base(vectors: list[list[float]]) -> None:
    assert merged(vectors) == [0.0] * len(vectors[0])


def test_a_zero_vector_among_agreeing_ones_counts_as_no_agreement() -> None:
    # Cosines 1, 0, 0: t = 3/5 as above; the average of (3, 3, 0) is 2.
    assert merged([[3.0], [3.0], [0.0]]) == pytest.approx([1.2], rel=1e-6)


def test_tiny_vectors_have_an_angle_too() -> None:
    assert merged([[1e-30, 0.0], [1e-30, 0.0]]) == pytest.approx([1e-30, 0.0], rel=1e-6)


@given(st.floats(-1.0, 1.0), st.floats(1.0, 100.0))
def test_the_ratio_is_a_share(similarity: float, count: float) -> None:
    assert 0.0 <= interpolation_ratio(similarity, count) <= 1.0


def test_the_ratio_rises_with_agreement_and_with_the_number_of_models() -> None:
    assert interpolation_ratio(0.3, 2) < interpolation_ratio(0.4, 2) < interpolation_ratio(0.4, 3)


def test_a_weight_of_zero_is_absence_and_equal_weights_are_the_paper() -> None:
    products = [[1.0, 0.4, 0.1], [0.4, 2.0, 0.3], [0.1, 0.3, 1.5]]
    without = stock_coefficients([row[:2] for row in products[:2]], [1.0, 1.0], Parameters())
    assert stock_coefficients(products, [1.0, 1.0, 0.0], Parameters()) == (*without, 0.0)
    doubled = stock_coefficients(products, [2.0, 2.0, 2.0], Parameters())
    assert doubled == pytest.approx(stock_coefficients(products, [1.0, 1.0, 1.0], Parameters()), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_with_weights_the_ratio_makes_the_expected_distance_least(seed: int) -> None:
    # τₜ = μ + noise of one size: among s·Σ pₜτₜ the best s is ‖μ‖²/E‖Σ pₜτₜ‖² = ‖μ‖²/(‖μ‖² + σ²·Σ pₜ²).
    rng = np.random.default_rng(seed)
    size, sigma, weights = 200_000, 1.5, np.array([1.0, 0.5, 2.0])
    centre = rng.normal(size=size)
    vectors = centre + sigma * rng.normal(size=(3, size))
    shares = weights / weights.sum()
    best = 1.0 / (1.0 + sigma**2 * float((shares**2).sum()))
    found = stock_coefficients((vectors @ vectors.T).tolist(), weights.tolist(), Parameters())
    assert sum(found) == pytest.approx(best, abs=0.01)


@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.0, 0.0], [1.0, -1.0]])
def test_fewer_than_two_voices_or_negative_ones_are_refused(weights: list[float]) -> None:
    models = [{"ref": f"zoo:{name}", "weight": weight} for name, weight in zip("ab", weights, strict=True)]
    with pytest.raises(RecipeError, match=r"weight above 0|are 0 or more"):
        parse_recipe({"version": 1, "base": "zoo:base", "models": models, "method": {"name": "model_stock"}})


def test_golden_each_filter_has_a_ratio_of_its_own() -> None:
    # Filter 1 at 60°: t = 2/3 of the average; filter 2 equal: the whole way; filter 3 at 90°: it stays.
    leaves = torch.tensor([[[1.0, 0.0], [2.0, 2.0], [1.0, 0.0]], [[0.5, math.sqrt(0.75)], [2.0, 2.0], [0.0, 1.0]]])
    expected = torch.tensor([[0.5, math.sqrt(3) / 6], [2.0, 2.0], [0.0, 0.0]])
    torch.testing.assert_close(combine(MODEL_STOCK, leaves, granularity="filter"), expected, rtol=1e-6, atol=1e-7)


def test_filters_agree_with_float64_row_by_row() -> None:
    leaves = drawn(3, 6, 40, common=0.8)
    expected = np.stack([reference(leaves[:, row].numpy()) for row in range(6)])
    np.testing.assert_allclose(combine(MODEL_STOCK, leaves, granularity="filter").numpy(), expected, rtol=0, atol=1e-6)


def test_a_recipe_that_does_not_speak_of_filters_keeps_its_identity() -> None:
    models = [{"ref": "zoo:a"}, {"ref": "zoo:b"}]
    given: dict[str, object] = {"version": 1, "base": "zoo:base", "models": models}
    pins = {ref: ref for ref in ("zoo:a", "zoo:b", "zoo:base")}
    plain = canonical(parse_recipe({**given, "method": {"name": "model_stock"}}), pins)
    leaf, by_filter = (
        canonical(parse_recipe({**given, "method": {"name": "model_stock", "params": {"granularity": choice}}}), pins)
        for choice in ("leaf", "filter")
    )
    assert plain == leaf and '"method":{"name":"model_stock","params":{}}' in plain
    assert '"params":{"granularity":"filter"}' in by_filter


def test_experts_that_disagree_lead_to_the_other_side_where_that_is_asked_for() -> None:
    products, params = [[1.0, -0.25], [-0.25, 1.0]], Parameters(below_zero="beyond")
    assert stock_coefficients(products, [1.0, 1.0], Parameters()) == (0.0, 0.0)
    assert stock_coefficients(products, [1.0, 1.0], params) == pytest.approx((-1 / 3, -1 / 3))
    assert stock_coefficients([[1.0, -1.0], [-1.0, 1.0]], [1.0, 1.0], params) == (0.0, 0.0)
