"""States with a known likeness: the estimate has no bias, and its interval holds the truth as often as it says."""

from __future__ import annotations

import numpy
import pytest
import torch

from merging_core.analysis.representations.alike import gram_of
from merging_core.analysis.representations.measured import Measured
from merging_core.analysis.studies.memory import Memory
from merging_core.evaluation.intervals import correlation_interval


def test_gaussian_states_with_a_known_likeness_are_found_without_bias_and_within_their_interval() -> None:
    chance = numpy.random.default_rng(0)
    one = chance.normal(size=(6, 8)) * numpy.linspace(0.2, 2.0, 8)
    other = one + chance.normal(size=(6, 8))
    # Of x = A z and y = B z with z standard normal, the population's CKA is ‖A Bᵀ‖² / (‖A Aᵀ‖·‖B Bᵀ‖).
    norm = numpy.linalg.norm
    true = norm(one @ other.T) ** 2 / (norm(one @ one.T) * norm(other @ other.T))
    values, held = [], 0
    for _ in range(80):
        drawn = chance.normal(size=(100, 8))
        known = Measured.begun(2, 1, moves=False)
        for part in (drawn[:50], drawn[50:]):
            grams = [gram_of(torch.from_numpy(part @ matrix.T)) for matrix in (one, other)]
            known = known.added(torch.stack(grams), None)
        value, error = float(known.likeness.values[0, 0]), float(known.likeness.errors[0, 0])
        low, high = correlation_interval(value, error)
        values.append(value)
        held += int(low <= true <= high)
    assert abs(numpy.mean(values) - true) < 3 * numpy.std(values) / numpy.sqrt(80)
    assert 71 <= held <= 80


def test_what_is_kept_is_what_is_remembered() -> None:
    grams = torch.stack(
        [gram_of(torch.randn(6, 3, generator=torch.Generator().manual_seed(seed))) for seed in range(4)]
    )
    known = Measured.begun(2, 2, moves=True).added(grams, numpy.ones((2, 4, 6)))
    memory = Memory()
    known.keep(memory, "task")
    again = Measured.remembered(memory, "task", 2, 2)
    assert again is not None and again.n == 6
    assert again.matrix == pytest.approx(known.matrix) and again.moved[0].values == pytest.approx(numpy.ones((2, 2)))
