from __future__ import annotations

import math

import pytest
import torch

from merging_core.learning.objectives import entropy, objective_loss


def test_golden_entropy_of_three_quarters_and_a_quarter() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])
    assert entropy(logits).item() == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_entropy_and_its_gradient_are_finite_where_a_probability_vanishes() -> None:
    logits = torch.tensor([[300.0, 0.0, -300.0]], requires_grad=True)
    entropy(logits).sum().backward()
    assert logits.grad is not None
    assert entropy(logits).item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(1, 3))


def test_entropy_is_its_float64_reference() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * 4
    shares = logits.double().exp() / logits.double().exp().sum(1, keepdim=True)
    reference = -(shares * shares.log()).sum(1)
    assert torch.allclose(entropy(logits).double(), reference, atol=1e-6)


def test_cross_entropy_asks_for_labels() -> None:
    with pytest.raises(ValueError, match="labels"):
        objective_loss("cross_entropy", torch.zeros(1, 2), None)
