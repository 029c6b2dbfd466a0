"""Mutual information of units: the formula, its bias, what only it sees, and batches that add up."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from merging_core.alignment.activation_matching import Moments, match_gains
from merging_core.alignment.information import Joint, edges_of, joints_of, signed_gains
from merging_core.alignment.permuting import inverse, permuted
from merging_core.errors import EvaluationError
from tests.alignment.small import small


def reference(ours: numpy.ndarray, theirs: numpy.ndarray, bins: int) -> numpy.ndarray:
    """Mutual information by its definition, pair by pair in Python's own floats."""
    levels = [place / bins for place in range(1, bins)]

    def binned(values: numpy.ndarray) -> list[int]:
        ends = [float(numpy.quantile(values, level)) for level in levels]
        return [sum(value > end for end in ends) for value in values]

    found = numpy.zeros((ours.shape[1], theirs.shape[1]))
    n = len(ours)
    for i in range(ours.shape[1]):
        for j in range(theirs.shape[1]):
            pairs = list(zip(binned(ours[:, i]), binned(theirs[:, j]), strict=True))
            for u, v in set(pairs):
                both = pairs.count((u, v)) / n
                alone = sum(a == u for a, _ in pairs) / n, sum(b == v for _, b in pairs) / n
                found[i, j] += both * math.log(both / (alone[0] * alone[1]))
    return found


def joint(ours: torch.Tensor, theirs: torch.Tensor, bins: int) -> Joint:
    made = Joint((edges_of([ours], bins), edges_of([theirs], bins)))
    made.add(ours, theirs)
    return made


@pytest.mark.parametrize("bins", [2, 5])
def test_it_is_the_plug_in_formula(bins: int) -> None:
    chance = torch.Generator().manual_seed(bins)
    ours = torch.randn(60, 4, generator=chance, dtype=torch.float64).relu()
    theirs = torch.randn(60, 4, generator=chance, dtype=torch.float64) + ours.flip(1)
    assert joint(ours, theirs, bins).gains() == pytest.approx(reference(ours.numpy(), theirs.numpy(), bins), abs=1e-12)


def test_a_unit_tells_all_of_itself_and_a_dead_one_nothing() -> None:
    units = torch.randn(640, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    units[:, 1] = 0.0
    found = joint(units, units, 8).gains()
    assert found[0, 0] == pytest.approx(math.log(8), abs=1e-9)
    assert found[1].tolist() == [0.0, 0.0] and found[0, 1] == 0.0


def test_batches_add_up_to_the_whole_and_units_of_chance_have_the_bias_that_is_said() -> None:
    n, bins = 4_000, 8
    chance = torch.Generator().manual_seed(3)
    ours, theirs = (torch.randn(n, 12, generator=chance, dtype=torch.float64) for _ in range(2))
    whole = joint(ours, theirs, bins)
    parts = Joint(whole.edges)
    for rows in range(0, n, 300):
        parts.add(ours[rows : rows + 300], theirs[rows : rows + 300])
    assert parts.n == n and (parts.gains() == whole.gains()).all()
    assert whole.gains().mean() == pytest.approx((bins - 1) ** 2 / (2 * n), rel=0.1)


def test_it_sees_a_partner_that_correlation_does_not() -> None:
    ours = torch.randn(800, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = torch.stack((ours[:, 1].abs(), ours[:, 0].abs()), 1)
    straight = Moments()
    straight.add(ours, theirs)
    assert abs(straight.gains("correlation")).max() < 0.15
    found = joint(ours, theirs, 8).gains()
    assert found[0, 1] > 5 * found[0, 0] and found[1, 0] > 5 * found[1, 1]


def test_the_opposite_of_a_unit_tells_all_of_it_and_is_no_partner() -> None:
    ours = torch.randn(400, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    theirs = torch.stack((-ours[:, 0], ours[:, 0] + 0.5 * ours[:, 1]), 1)
    straight = Moments()
    straight.add(ours, theirs)
    found = joint(ours, theirs, 8)
    signed = signed_gains({"units": found}, {"units": straight})["units"]
    assert found.gains()[0, 0] == pytest.approx(math.log(8)) and signed[0, 0] == -found.gains()[0, 0]
    assert signed[0, 1] == found.gains()[0, 1] > 0


@pytest.mark.parametrize("name", ["mlp", "vit"])
def test_a_permuted_copy_is_recovered_exactly(name: str) -> None:
    found, weights, inputs, claimed = small(name, rows=200)
    member = claimed.drawn(5)
    copy = permuted(claimed, weights, member)
    joints = joints_of(claimed, found.forward, weights, copy, torch.split(inputs, 90), 6)
    again = match_gains(claimed, {units: one.gains() for units, one in joints.items()})
    assert set(joints) == set(member)
    assert all((again[units] == inverse(member)[units]).all() for units in member)


def test_a_class_that_would_not_fit_is_refused_by_name() -> None:
    found, weights, inputs, claimed = small("mlp", rows=4)
    with pytest.raises(EvaluationError, match=r"hidden 0.*pairs of bins|pairs of bins.*hidden 0"):
        joints_of(claimed, found.forward, weights, weights, [inputs], 4_000)
