"""NuSLERP: along the arc between two task vectors by their weights; whole leaves, rows or columns."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.methods.contract import CombineContext, contexts_of_leaves, gather_leaf
from merging_core.methods.info import Parameters
from merging_core.methods.nuslerp import nuslerp_coefficients
from merging_core.methods.registry import method
from merging_core.methods.slerp import slerp_coefficients
from merging_core.recipes.parse import parse_recipe
from tests.methods.whole import combine, drawn

NUSLERP = method("nuslerp")


def flat(leaves: torch.Tensor, *weights: float) -> torch.Tensor:
    """Merge the leaf as one vector."""
    vectors, shares = leaves.flatten(1), torch.tensor(weights)
    context = CombineContext(NUSLERP.defaults())
    (found,) = contexts_of_leaves(NUSLERP, context, [gather_leaf(NUSLERP, [vectors])], shares)
    return NUSLERP.combine(vectors, shares, found).view(leaves.shape[1:])


def reference64(first: torch.Tensor, second: torch.Tensor, t: float) -> torch.Tensor:
    """Rotate in the plane of both in float64, with the angle by atan2."""
    a, b = first.double(), second.double()
    unit, other = a / a.norm(), b / b.norm()
    omega = math.atan2(float((other - (other @ unit) * unit).norm()), float(other @ unit))
    return (math.sin((1 - t) * omega) * a + math.sin(t * omega) * b) / math.sin(omega)


def test_golden_a_right_angle_three_to_one() -> None:
    # t = 1/4 of a right angle: cos 22.5° of the first and sin 22.5° of the second.
    found = flat(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), 3.0, 1.0)
    expected = torch.tensor([2 * math.cos(math.pi / 8), 2 * math.sin(math.pi / 8)])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_golden_rows_and_columns_have_angles_of_their_own() -> None:
    # Row 1 turns by 90°: √½ of each. Row 2 is parallel: the line, (1 + 3)/2.
    # Column 1 is a line, since one is zero; column 2 turns from (0, 1) to (1, 3).
    leaves = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 3.0]]])
    half = math.sqrt(0.5)
    torch.testing.assert_close(combine(NUSLERP, leaves, granularity="row"), torch.tensor([[half, half], [0.0, 2.0]]))
    angle = math.acos(3 / math.sqrt(10))
    share = math.sin(angle / 2) / math.sin(angle)
    expected = torch.tensor([[0.5, share], [0.0, 4 * share]])
    torch.testing.assert_close(combine(NUSLERP, leaves, granularity="column"), expected)


@pytest.mark.parametrize("granularity", ["row", "column"])
def test_rows_and_columns_agree_with_float64(granularity: str) -> None:
    leaves = drawn(2, 5, 7)
    found = combine(NUSLERP, leaves, 1.0, 3.0, granularity=granularity)
    lines = leaves if granularity == "row" else leaves.transpose(1, 2)
    expected = torch.stack([reference64(a, b, 0.75) for a, b in zip(*lines, strict=True)]).float()
    torch.testing.assert_close(found, expected if granularity == "row" else expected.T, rtol=0, atol=1e-6)


def test_the_whole_leaf_agrees_with_float64() -> None:
    leaves = drawn(2, 5, 7)
    torch.testing.assert_close(flat(leaves, 1.0, 3.0).flatten(), reference64(*leaves.flatten(1), 0.75).float())


def test_a_filter_of_a_convolution_is_a_row() -> None:
    leaves = drawn(2, 4, 3, 2, 2)
    whole = NUSLERP.whole_leaf
    assert whole is not None
    found = combine(NUSLERP, leaves, granularity="row")
    torch.testing.assert_close(found, combine(NUSLERP, leaves.flatten(2), granularity="row").view(4, 3, 2, 2))


@given(st.floats(0.0, 10.0), st.floats(0.01, 10.0), st.floats(-1.0, 1.0))
def test_it_is_slerp_at_the_second_weights_share(first: float, second: float, between: float) -> None:
    products = [[1.0, between], [between, 1.0]]
    expected = slerp_coefficients(products, [1.0, 1.0], Parameters(t=second / (first + second)))
    assert nuslerp_coefficients(products, [first, second], Parameters()) == expected


def test_weights_that_say_nothing_are_refused() -> None:
    models = [{"ref": "zoo:a", "weight": 0.0}, {"ref": "zoo:b", "weight": 0.0}]
    with pytest.raises(RecipeError, match="add up to zero"):
        parse_recipe({"version": 1, "base": "zoo:base", "models": models, "method": {"name": "nuslerp"}})
