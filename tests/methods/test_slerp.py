"""SLERP: along the arc between two models, leaf by leaf."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.contract import CombineContext, contexts_of_leaves, gather_leaf
from merging_core.methods.info import Parameters
from merging_core.methods.slerp import NEARLY_PARALLEL, SLERP, slerp_coefficients

ONES = torch.ones(2)


def along(leaves: list[list[list[float]]], t: float, within: str = "leaf") -> list[list[float]]:
    """Go from the first to the second model; each leaf holds a row for either."""
    tensors = [torch.tensor(leaf) for leaf in leaves]
    sums = [gather_leaf(SLERP, [tensor]) for tensor in tensors]
    contexts = contexts_of_leaves(SLERP, CombineContext(Parameters(t=t, angle=within)), sums, ONES)
    pairs = zip(tensors, contexts, strict=True)
    return [SLERP.combine(tensor, ONES, context).tolist() for tensor, context in pairs]


def reference(first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
    """Rotate the direction in float64; lengths mix as sin((1 − t)Ω) : sin(tΩ), as in the formula for plain vectors."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    omega = math.atan2(
        np.linalg.norm(
            a / np.linalg.norm(a) - (b / np.linalg.norm(b)) * (a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
        ),
        (a @ b) / np.linalg.norm(a) / np.linalg.norm(b),
    )
    return np.asarray((math.sin((1 - t) * omega) * a + math.sin(t * omega) * b) / math.sin(omega))


def test_golden_a_right_angle() -> None:
    # Ω = 90°: sin 45°/sin 90° = 0.70711 of each; with lengths 1 and 3 the result has length √5, as elsewhere.
    ((x, y),) = along([[[1.0, 0.0], [0.0, 3.0]]], 0.5)
    assert (x, y) == pytest.approx((math.sqrt(0.5), 3 * math.sqrt(0.5)), rel=1e-7)
    assert math.hypot(x, y) == pytest.approx(math.sqrt(5), rel=1e-7)


def test_golden_a_third_of_ninety_degrees() -> None:
    # t = 1/3 of a right angle is 30°: (cos 30°, sin 30°).
    ((x, y),) = along([[[2.0, 0.0], [0.0, 2.0]]], 1 / 3)
    assert (x, y) == pytest.approx((2 * math.cos(math.pi / 6), 2 * math.sin(math.pi / 6)), rel=1e-6)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_float64(seed: int, t: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 400)).astype(np.float32)
    (found,) = along([[first.tolist(), second.tolist()]], t)
    np.testing.assert_allclose(found, reference(first, second, t), rtol=0, atol=1e-6)


@given(st.floats(0.0, 1.0), st.integers(0, 50))
def test_models_of_one_length_keep_it(t: float, seed: int) -> None:
    drawn = torch.randn(2, 60, generator=torch.Generator().manual_seed(seed))
    unit = drawn / drawn.norm(dim=1, keepdim=True)
    (found,) = along([unit.tolist()], t)
    assert math.hypot(*found) == pytest.approx(1.0, abs=1e-5)


def test_the_ends_are_the_models() -> None:
    leaf = [[1.0, 2.0, -3.0], [0.5, -4.0, 2.0]]
    assert along([leaf], 0.0) == [leaf[0]]
    assert along([leaf], 1.0) == [leaf[1]]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(
    "leaf",
    [
        pytest.param([[1.0, 2.0], [2.0, 4.0]], id="parallel"),
        pytest.param([[1.0, 2.0], [1.0, 2.0]], id="equal"),
        pytest.param([[1.0, 2.0], [-1.0, -2.0]], id="antipodal"),
        pytest.param([[0.0, 0.0], [3.0, 4.0]], id="one zero"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], id="both zero"),
        pytest.param([[3.0], [-5.0]], id="one element"),
        pytest.param([[1e-38, 0.0], [1e-38, 1e-45]], id="tiny"),
        pytest.param([[3e38, 0.0], [3e38, 1e30]], id="huge"),
    ],
)
def test_where_no_arc_is_the_shortest_it_is_the_line(leaf: list[list[float]], share: float) -> None:
    first, second = (np.array(row, dtype=np.float32) for row in leaf)
    (found,) = along([leaf], share)
    line = np.float32(1 - share) * first + np.float32(share) * second
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.array(found, dtype=np.float32), line, rtol=2e-7)


def test_the_bound_between_line_and_arc_is_the_one_that_is_documented() -> None:
    def of(cosine: float) -> tuple[float, ...]:
        return slerp_coefficients([[1.0, cosine], [cosine, 1.0]], [1.0, 1.0], Parameters(t=0.5))

    above = math.nextafter(NEARLY_PARALLEL, 1.0)
    assert of(above) == of(-above) == (0.5, 0.5)
    half = math.acos(NEARLY_PARALLEL) / 2
    # sin(Ω/2)/sin Ω = 1/(2·cos(Ω/2)); on the far side 1/(2·sin(Ω/2)) with Ω/2 measured from the opposite.
    assert of(NEARLY_PARALLEL) == pytest.approx((1 / (2 * math.cos(half)),) * 2, rel=1e-12)
    assert of(-NEARLY_PARALLEL) == pytest.approx((1 / (2 * math.sin(half)),) * 2, rel=1e-12)


def test_from_the_arc_to_the_line_is_a_small_step() -> None:
    half = math.acos(NEARLY_PARALLEL) / 2
    assert 1 / (2 * math.cos(half)) - 0.5 < 1e-4


def test_within_the_model_there_is_one_angle_for_all_leaves() -> None:
    leaves = [[[1.0], [0.0]], [[0.0], [1.0]]]
    half = math.sqrt(0.5)
    assert along(leaves, 0.5, "model") == [[pytest.approx(half)], [pytest.approx(half)]]
    assert along(leaves, 0.5, "leaf") == [[0.5], [0.5]]


def test_bfloat16_and_numbers_without_dimensions_are_vectors_too() -> None:
    drawn = torch.randn(2, 300, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).float()
    (found,) = along([drawn.tolist()], 0.3)
    np.testing.assert_allclose(found, reference(drawn[0].numpy(), drawn[1].numpy(), 0.3), rtol=0, atol=1e-6)
    scalar = torch.stack([torch.tensor(2.0), torch.tensor(4.0)]).view(2, 1)
    assert along([scalar.tolist()], 0.5) == [[3.0]]


def test_the_weights_have_no_say() -> None:
    products = [[1.0, 0.2], [0.2, 4.0]]
    params = Parameters(t=0.3)
    assert slerp_coefficients(products, [1.0, 1.0], params) == slerp_coefficients(products, [5.0, 0.0], params)
    assert SLERP.weights == "none"


def test_an_arc_between_nearly_parallel_models_is_followed_where_that_is_asked_for() -> None:
    cosine = math.cos(0.02)
    params = Parameters(t=0.5, straight="exactly")
    assert slerp_coefficients([[1.0, cosine], [cosine, 1.0]], [1.0, 1.0], params)[0] == pytest.approx(
        math.sin(0.01) / math.sin(0.02), rel=1e-12
    )
    assert slerp_coefficients([[1.0, 1.0], [1.0, 1.0]], [1.0, 1.0], params) == (0.5, 0.5)
    assert slerp_coefficients([[1.0, -1.0], [-1.0, 1.0]], [1.0, 1.0], params) == (0.5, 0.5)
