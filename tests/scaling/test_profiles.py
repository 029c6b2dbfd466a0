"""Layer scalings: one factor per depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.methods.info import Parameters, check_parameters
from merging_core.scaling.info import LayerScalingSpec
from merging_core.scaling.profiles import alpha_from_norms
from merging_core.scaling.registry import factors, scaling, scalings
from merging_core.space.depth import Depth

BLOCKS = [Depth("vision", index, 5, "inside") for index in range(5)]
OUTSIDE = [Depth("vision", None, 5, "before"), Depth("vision", None, 5, "after")]
ONLY_BLOCK = Depth("vision", 0, 1, "inside")
number = st.floats(-10, 10)


def spec(kind: str, **params: float | str | tuple[float, ...]) -> LayerScalingSpec:
    values, problems = check_parameters(params, scaling(kind).parameters, "layer_scaling")
    assert not problems
    return LayerScalingSpec(kind, Parameters(values))


def test_golden_lines() -> None:
    assert factors(spec("lines", alpha=0.5, beta=1.0), BLOCKS) == (0.5, 0.75, 1.0, 1.25, 1.5)


@pytest.mark.parametrize(("outside", "expected"), [("alpha", (0.5, 0.5)), ("depth", (0.5, 1.5))])
def test_golden_leaves_outside_the_blocks(outside: str, expected: tuple[float, float]) -> None:
    assert factors(spec("lines", alpha=0.5, beta=1.0, outside=outside), OUTSIDE) == expected
    assert factors(spec("curve", points=(0.5, 9.0, 1.5), outside=outside), OUTSIDE) == expected
    assert factors(spec("lines_gamma", gamma=0.5, outside=outside), OUTSIDE) == (
        0.5,
        expected[1] - (outside == "depth") * 0.5,
    )


def test_a_single_block_gets_the_last_factor() -> None:
    assert factors(spec("lines", alpha=0.5, beta=1.0), [ONLY_BLOCK]) == (1.5,)
    assert factors(spec("lines_gamma", gamma=0.25), [ONLY_BLOCK]) == (1.0,)
    assert factors(spec("curve", points=(0.0, 1.0, 3.0)), [ONLY_BLOCK]) == (3.0,)


def test_golden_gamma_keeps_the_last_block_whole() -> None:
    assert factors(spec("lines_gamma", gamma=0.0), BLOCKS) == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_constant_is_one_everywhere() -> None:
    assert factors(LayerScalingSpec(), [*BLOCKS, *OUTSIDE, ONLY_BLOCK]) == (1.0,) * 8


def test_stacks_each_run_from_their_first_block_to_their_last() -> None:
    stacks = [Depth("encoder", 0, 3, "inside"), Depth("encoder", 2, 3, "inside"), Depth("decoder", 1, 2, "inside")]
    assert factors(spec("lines", alpha=0.0, beta=1.0), stacks) == (0.0, 1.0, 1.0)


@given(st.lists(number, min_size=2, max_size=12), st.integers(2, 40))
def test_the_curve_agrees_with_numpy(points: list[float], count: int) -> None:
    blocks = [Depth("x", index, count, "inside") for index in range(count)]
    expected = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(points)), points)
    np.testing.assert_allclose(factors(spec("curve", points=tuple(points)), blocks), expected, atol=1e-9)


@given(number, number, st.integers(2, 30))
def test_a_straight_curve_is_lines(alpha: float, beta: float, count: int) -> None:
    blocks = [Depth("x", index, count, "inside") for index in range(count)]
    straight = factors(spec("curve", points=(alpha, alpha + beta)), blocks)
    np.testing.assert_allclose(straight, factors(spec("lines", alpha=alpha, beta=beta), blocks), atol=1e-12)


eighths = st.integers(-80, 80).map(lambda whole: whole / 8)


@given(eighths, eighths)
def test_lines_are_linear_in_their_two_numbers(alpha: float, beta: float) -> None:
    doubled = factors(spec("lines", alpha=2 * alpha, beta=2 * beta), BLOCKS)
    assert doubled == tuple(2 * factor for factor in factors(spec("lines", alpha=alpha, beta=beta), BLOCKS))


@pytest.mark.parametrize(
    ("l1_of_sum", "l1_of_merged", "count", "rule", "alpha"),
    [
        (8.0, 8.0, 4, "sum", 0.25),  # task arithmetic: the merged vector is the sum
        (8.0, 2.0, 4, "sum", 1.0),  # the mean of four
        (8.0, 8.0, 4, "mean", 1.0),
        (6.0, 4.0, 3, "sum", 0.5),
        (3.0, 0.0, 3, "sum", 0.0),
    ],
)
def test_golden_alpha_from_norms(l1_of_sum: float, l1_of_merged: float, count: int, rule: str, alpha: float) -> None:
    assert alpha_from_norms(l1_of_sum, l1_of_merged, count, rule) == alpha


@pytest.mark.parametrize(
    "wrong", [(1.0, 1.0, 0, "sum"), (1.0, 1.0, 2, "value"), (-1.0, 1.0, 2, "sum"), (1.0, float("nan"), 2, "mean")]
)
def test_norms_and_rules_that_make_no_sense_are_refused(wrong: tuple[float, float, int, str]) -> None:
    with pytest.raises(ValueError, match="no α"):
        alpha_from_norms(*wrong)


def test_alpha_by_a_rule_is_filled_in_before_factors() -> None:
    ruled = spec("lines", alpha_rule="sum", beta=1.0)
    assert ruled.needs_alpha
    with pytest.raises(ValueError, match="α must be computed"):
        factors(ruled, BLOCKS)
    assert factors(ruled.with_alpha(0.25), BLOCKS)[0] == 0.25


def test_every_scaling_works_with_its_defaults_and_says_what_a_reader_needs() -> None:
    for info in scalings():
        assert len(factors(LayerScalingSpec(info.name, info.defaults()), BLOCKS)) == 5
        assert info.source.url.startswith("https://")
        assert info.summary.endswith(".")
        assert not set("<>&\\$") & set(info.formula)


def test_an_unknown_scaling_names_the_closest() -> None:
    with pytest.raises(RecipeError, match="did you mean “lines”"):
        scaling("line")
