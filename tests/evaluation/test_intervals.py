from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import EvaluationError
from merging_core.evaluation.intervals import (
    PairCounts,
    average_interval,
    correlation_interval,
    difference,
    pair_counts,
    ratio,
    sum_of_means,
    wilson,
)


def test_wilson_has_the_values_of_the_literature() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    for (right, n), expected in {
        (81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718),
    }.items():  # fmt: skip
        assert wilson(right, n) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_its_equation_and_mirrors(pair: tuple[int, int]) -> None:
    right, n = pair
    low, high = wilson(right, n)
    p, z = right / n, 1.959963984540054
    assert 0.0 <= low <= p <= high <= 1.0
    for bound in (low, high):
        if 0.0 < bound < 1.0:
            assert (p - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-9)
    assert wilson(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("right", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5)])
def test_no_example_is_refused_not_zero_per_cent(right: int, n: int) -> None:
    with pytest.raises(EvaluationError):
        wilson(right, n)
    with pytest.raises(EvaluationError):
        average_interval([3, right], [5, n])


def test_no_task_is_refused() -> None:
    for refused in (lambda: average_interval([], []), lambda: difference([]), lambda: ratio([])):
        with pytest.raises(EvaluationError):
            refused()
    with pytest.raises(EvaluationError):
        difference([PairCounts(0, 0, 0, 0)])
    with pytest.raises(EvaluationError):
        difference([PairCounts(-1, 1, 1, 1)])


def test_the_interval_of_a_sum_of_means_agrees_with_resampling_example_by_example() -> None:
    random = numpy.random.default_rng(5)
    strata = [random.random(60) ** 2, random.random(90)]
    sums = [sum(values[random.integers(0, len(values), len(values))].mean() for values in strata) for _ in range(4_000)]
    found = sum_of_means(strata)
    assert found.value == pytest.approx(sum(values.mean() for values in strata), abs=1e-12)
    assert found.interval == pytest.approx(tuple(numpy.percentile(sums, (2.5, 97.5))), abs=0.01)
    assert sum_of_means([numpy.full(7, 0.25)]).interval == pytest.approx((0.25, 0.25), abs=1e-12)


def test_the_average_s_bootstrap_agrees_with_resampling_example_by_example() -> None:
    random = numpy.random.default_rng(11)
    outcomes = [random.random(n) < p for n, p in ((250, 0.4), (200, 0.9), (300, 0.65))]
    means = [
        numpy.mean([outcome[random.integers(0, len(outcome), len(outcome))].mean() for outcome in outcomes])
        for _ in range(4_000)
    ]
    expected = numpy.percentile(means, (2.5, 97.5))
    found = average_interval([int(outcome.sum()) for outcome in outcomes], [len(outcome) for outcome in outcomes])
    assert found == pytest.approx(tuple(expected), abs=0.005)


def test_the_average_s_interval_is_as_wide_as_the_variances_say() -> None:
    low, high = average_interval([125] * 6, [250] * 6)
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(0.25 / 250 / 6), rel=0.08)


def test_ratio_and_difference_agree_with_resampling_pairs() -> None:
    random = numpy.random.default_rng(12)
    first = [random.random(250) < 0.6, random.random(250) < 0.5]
    second = [numpy.where(random.random(250) < 0.8, one, random.random(250) < 0.9) for one in first]
    pairs = [pair_counts(one, other) for one, other in zip(first, second, strict=True)]
    ratios, differences = [], []
    for _ in range(4_000):
        rows = [random.integers(0, 250, 250) for _ in first]
        ones = [one[row].mean() for one, row in zip(first, rows, strict=True)]
        others = [other[row].mean() for other, row in zip(second, rows, strict=True)]
        ratios.append(numpy.mean([one / other for one, other in zip(ones, others, strict=True)]))
        differences.append(numpy.mean(numpy.subtract(ones, others)))
    found = ratio(pairs)
    assert found is not None
    assert found.interval == pytest.approx(tuple(numpy.percentile(ratios, (2.5, 97.5))), abs=0.01)
    assert difference(pairs).interval == pytest.approx(tuple(numpy.percentile(differences, (2.5, 97.5))), abs=0.006)
    assert found.value == pytest.approx(
        numpy.mean([one.mean() / other.mean() for one, other in zip(first, second, strict=True)])
    )


def test_intervals_are_the_same_each_time() -> None:
    pairs = [PairCounts(10, 5, 3, 14), PairCounts(20, 2, 6, 4)]
    assert average_interval([10, 20], [32, 32]) == average_interval([10, 20], [32, 32])
    assert ratio(pairs) == ratio(pairs) and difference(pairs) == difference(pairs)


def test_a_difference_changes_its_sign_with_the_order() -> None:
    there = difference([PairCounts(50, 30, 10, 10)])
    back = difference([PairCounts(50, 10, 30, 10)])
    assert there.value == -back.value == 0.2
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=0.02)


def test_pairing_narrows_the_difference() -> None:
    alike, unlike = difference([PairCounts(60, 10, 10, 20)]), difference([PairCounts(40, 30, 30, 0)])
    assert alike.interval[1] - alike.interval[0] < 0.7 * (unlike.interval[1] - unlike.interval[0])


def test_an_expert_without_a_right_answer_gives_no_ratio() -> None:
    assert ratio([PairCounts(0, 5, 0, 5), PairCounts(5, 0, 0, 5)]) is None


def test_an_expert_seldom_right_still_gives_a_finite_interval() -> None:
    found = ratio([PairCounts(1, 0, 0, 31)])
    assert found is not None and found.value == 1.0 and found.interval == (1.0, 1.0)


def test_models_with_other_examples_are_not_paired() -> None:
    with pytest.raises(EvaluationError):
        pair_counts(numpy.ones(3, bool), numpy.ones(4, bool))


def test_the_interval_of_a_correlation_is_fishers() -> None:
    r, n = 0.8, 50
    low, high = correlation_interval(r, (1 - r * r) / math.sqrt(n - 3))
    assert (math.atanh(low), math.atanh(high)) == pytest.approx(
        tuple(math.atanh(r) + side * 1.959964 / math.sqrt(47) for side in (-1, 1)), abs=1e-6
    )
