"""CKA without bias: the published formula, its invariances, and what leaving out an example does."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from merging_core.analysis.representations.alike import alikeness, gram_of, left_out, products

Array = NDArray[numpy.float64]


def hsic(x: Array, y: Array) -> float:
    """Song et al. 2012, equation 5, written out."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    numpy.fill_diagonal(k, 0.0)
    numpy.fill_diagonal(m, 0.0)
    ones = numpy.ones(n)
    first = numpy.trace(k @ m)
    second = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (ones @ k @ m @ ones)
    return float((first + second - third) / (n * (n - 3)))


def cka(x: Array, y: Array) -> float:
    return hsic(x, y) / float(numpy.sqrt(hsic(x, x) * hsic(y, y)))


def states(seed: int, n: int = 12, numbers: int = 5) -> Array:
    return numpy.random.default_rng(seed).normal(size=(n, numbers)) + 0.5


def found(*them: Array) -> Array:
    grams = torch.stack([gram_of(torch.from_numpy(one)) for one in them])
    sums = products(grams)
    own = sums.diagonal()
    return alikeness(sums, own[:, None], own[None, :])


def test_products_of_centred_matrices_are_the_published_estimate() -> None:
    them = [states(0), states(1, numbers=7), states(0) ** 2]
    sums = products(torch.stack([gram_of(torch.from_numpy(one)) for one in them]))
    assert sums == pytest.approx(numpy.array([[hsic(x, y) for y in them] for x in them]), rel=1e-10)


def test_leaving_out_an_example_is_measuring_without_it() -> None:
    x, y = states(2, 9), states(3, 9)
    expected = [hsic(numpy.delete(x, i, 0), numpy.delete(y, i, 0)) for i in range(9)]
    grams = [gram_of(torch.from_numpy(one)) for one in (x, y)]
    assert left_out(grams[0], grams[1]) == pytest.approx(numpy.array(expected), rel=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.01, 100.0))
def test_turning_scaling_and_moving_a_representation_changes_nothing(seed: int, factor: float) -> None:
    x, y = states(seed), states(seed + 1)
    turn, _ = numpy.linalg.qr(numpy.random.default_rng(seed).normal(size=(5, 5)))
    assert found(x, y)[0, 1] == pytest.approx(cka(x, y), abs=1e-9)
    assert found(factor * x @ turn + 3.0, y)[0, 1] == pytest.approx(cka(x, y), abs=1e-7)
    assert found(x, x @ turn)[0, 1] == pytest.approx(1.0)


def test_a_map_that_is_no_turn_changes_it() -> None:
    x = states(0)
    assert found(x, x @ numpy.diag([10.0, 1.0, 1.0, 1.0, 1.0]))[0, 1] < 0.95


def test_few_examples_of_many_numbers_do_not_look_alike_by_themselves() -> None:
    values = [found(states(seed, 20, 500) - 0.5, states(seed + 100, 20, 500) - 0.5)[0, 1] for seed in range(30)]
    assert abs(numpy.mean(values)) < 0.05


def test_a_state_that_never_varies_is_like_nothing() -> None:
    assert numpy.isnan(found(numpy.ones((6, 2)), states(0, 6))[0, 1])
