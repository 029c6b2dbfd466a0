from __future__ import annotations

import torch

from merging_core.learning.categorical import concrete, gumbel_max
from merging_core.learning.relaxation import relaxed, uniform

LOGITS = torch.tensor([0.5, -1.0, 1.5], dtype=torch.float64)


def chance(n: int, classes: int) -> torch.Tensor:
    return uniform(0, 0, "simplex", n * classes).view(n, classes)


def test_classes_come_as_often_as_the_softmax_says() -> None:
    counts = torch.bincount(gumbel_max(LOGITS, chance(100_000, 3)), minlength=3) / 100_000
    assert torch.allclose(counts.double(), LOGITS.softmax(0), atol=5e-3)


def test_a_temperature_near_nothing_gives_the_corner_of_the_class_that_was_drawn() -> None:
    drawn = chance(500, 3)
    corners = concrete(LOGITS, drawn, 1e-9)
    assert torch.equal(corners.argmax(1), gumbel_max(LOGITS, drawn))
    assert torch.allclose(corners.max(1).values, torch.ones(500, dtype=torch.float64))


def test_a_high_temperature_gives_the_middle_of_the_simplex() -> None:
    assert torch.allclose(concrete(LOGITS, chance(50, 3), 1e9), torch.full((50, 3), 1 / 3, dtype=torch.float64))


def test_two_classes_are_the_relaxed_coin() -> None:
    x, drawn = 0.7, chance(1000, 2)
    pairs = concrete(torch.tensor([x, 0.0], dtype=torch.float64), drawn, 0.5)[:, 0]
    # The difference of two Gumbel numbers is logistic: the logit of one uniform number.
    noise = -torch.log(-torch.log(drawn[:, 0])) + torch.log(-torch.log(drawn[:, 1]))
    assert torch.allclose(pairs, relaxed(torch.tensor(x, dtype=torch.float64), torch.sigmoid(noise), 0.5))
