"""Resampled means of curves: unbiased, paired, the same for the same names, and as wide as they must be."""

from __future__ import annotations

import math

import numpy
import pytest

from merging_core.evaluation.intervals import RESAMPLES
from merging_core.evaluation.resampling import averaged, percentiles, resampled


def test_means_are_those_of_the_examples_and_of_every_other_one() -> None:
    values = numpy.random.default_rng(1).normal(size=(3, 21))
    halves, whole = resampled(values, 0, "a")
    assert numpy.allclose(whole.means, [math.fsum(row) / 21 for row in values.tolist()], atol=1e-14)
    for half, start in zip(halves, (0, 1), strict=True):
        assert numpy.allclose(half.means, [math.fsum(row[start::2]) / len(row[start::2]) for row in values.tolist()])
    assert whole.draws.shape == (RESAMPLES, 3)


def test_draws_are_paired_and_depend_on_seed_and_name_alone() -> None:
    values = numpy.random.default_rng(2).normal(size=(2, 40))
    _, whole = resampled(numpy.concatenate((values, values + 1.0)), 3, "digits train")
    assert numpy.allclose(whole.draws[:, 2:] - whole.draws[:, :2], 1.0, atol=1e-12)
    _, again = resampled(values, 3, "digits train")
    assert numpy.allclose(again.draws, whole.draws[:, :2], atol=1e-14)
    for seed, name in ((4, "digits train"), (3, "digits validation")):
        _, other = resampled(values, seed, name)
        assert not numpy.allclose(other.draws, again.draws)


def test_the_spread_of_draws_is_the_standard_error() -> None:
    values = numpy.random.default_rng(3).gamma(1.0, size=(1, 400))
    _, whole = resampled(values, 0, "a")
    error = values.std() / math.sqrt(values.size)
    assert whole.draws.std() == pytest.approx(error, rel=0.1)
    assert whole.draws.mean() == pytest.approx(values.mean(), abs=4 * error / math.sqrt(RESAMPLES))


def test_neighbours_that_depend_on_each_other_are_drawn_together() -> None:
    """Each value stands ten times: the interval must be as wide as that of a tenth of the examples."""
    apart = numpy.random.default_rng(4).normal(size=(1, 90))
    repeated = numpy.repeat(apart, 10, axis=1)
    narrow, wide = (resampled(repeated, 0, "a", runs=runs)[1].draws.std() for runs in (False, True))
    assert narrow < 0.5 * apart.std() / math.sqrt(90)
    assert 0.6 < wide / (apart.std() / math.sqrt(90)) < 1.5


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("runs", [False, True])
def test_a_handful_of_examples_is_enough(n: int, runs: bool) -> None:
    halves, whole = resampled(numpy.arange(float(n))[None, :], 0, "a", runs=runs)
    assert len(halves) == min(n, 2) and whole.means.tolist() == [(n - 1) / 2]
    assert bool(numpy.isfinite(whole.draws).all())


def test_tasks_count_alike_whatever_their_size() -> None:
    tasks = [resampled(numpy.full((1, n), value), 0, str(n))[1] for n, value in ((2, 1.0), (50, 2.0))]
    assert averaged(tasks).means.tolist() == [1.5]


def test_what_is_not_finite_has_no_interval() -> None:
    assert percentiles(numpy.array([0.0, math.nan])) is None
