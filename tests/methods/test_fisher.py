"""Fisher merging."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.methods.contract import CombineContext
from merging_core.methods.fisher import FISHER, fisher_average, voices
from merging_core.methods.info import Parameters
from merging_core.methods.measured import Measured
from merging_core.methods.registry import method


def context(*rows: list[float], sizes: tuple[float, ...] = (), **params: float | bool) -> CombineContext:
    measured = Measured(tuple(torch.tensor(row) for row in rows), sizes)
    return CombineContext(Parameters({**FISHER.defaults(), **params}), measured=measured)


def test_golden_numbers_worked_by_hand() -> None:
    assert method("fisher") is FISHER
    vectors = torch.tensor([[1.0, 1.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    known = context([3.0, 0.0, 0.0, 1.0], [1.0, 2.0, 0.0, 0.0], floor=0.0, same_size=False)
    assert fisher_average(vectors, torch.ones(2), known).tolist() == [2.0, 5.0, 3.0, 1.0]
    # A weight of 3 counts three times, and lengths 1 and 4 make the first four times as heavy.
    heavier = context([1.0] * 4, [1.0] * 4, sizes=(1.0, 4.0), floor=0.0)
    assert fisher_average(vectors, torch.tensor([1.0, 3.0]), heavier).tolist() == pytest.approx(
        [23 / 7 - 1.0 + 3 / 7] * 4
    )


def test_the_merge_is_the_float64_one() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, information = torch.randn(2, 3, 500, generator=generator).unbind()
    information = information.abs() ** 3
    weights = torch.tensor([0.5, 1.0, 2.0])
    sizes = tuple(float(row.double().norm()) for row in information)
    found = fisher_average(vectors, weights, context(*information.tolist(), sizes=sizes, floor=0.01))
    shares = weights.double().numpy() / np.array(sizes)
    voice = shares[:, None] * np.maximum(information.double().numpy(), 0.01)
    expected = (voice * vectors.double().numpy()).sum(0) / voice.sum(0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-6, atol=2e-6)


def test_experts_of_very_different_size_neither_vanish_nor_overflow() -> None:
    assert voices((1.0, 1.0), (0.0, 1e30), 0.0) == pytest.approx((1.0, 1e-30))
    known = context([1e30, 1e30], [1e-20, 0.0], sizes=(2e30, 1e-20))
    found = fisher_average(torch.tensor([[1.0, 1.0], [3.0, 3.0]]), torch.ones(2), known)
    assert torch.isfinite(found).all()


def test_a_number_that_an_expert_lacks_is_averaged_unless_the_expert_has_no_weight() -> None:
    vectors = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    known = context([4.0, 4.0], [float("nan"), 4.0], same_size=False)
    assert fisher_average(vectors, torch.ones(2), known).tolist() == [2.0, 2.0]
    assert fisher_average(vectors, torch.tensor([1.0, 0.0]), known).tolist() == [1.0, 1.0]


def test_pieces_and_whole_have_the_same_bits() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors, information = torch.randn(2, 2, 100_003, generator=generator).unbind()
    rows = information.abs().tolist()
    whole = fisher_average(vectors, torch.ones(2), context(*rows, sizes=(1.0, 2.0)))
    for start, stop in ((0, 1), (1, 1024), (1024, 70_001), (70_001, 100_003)):
        piece = context(*(row[start:stop] for row in rows), sizes=(1.0, 2.0))
        assert torch.equal(fisher_average(vectors[:, start:stop], torch.ones(2), piece), whole[start:stop])
