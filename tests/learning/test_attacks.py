"""Attacks, against what is known of linear models and against every corner of the ball."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from merging_core.learning.attacks import Attack, Norm, attacked

NORMS: tuple[Norm, ...] = ("linf", "l2")


def linear(rows: torch.Tensor) -> torch.Tensor:
    return (rows.flatten(1).double() @ WEIGHTS).to(rows)


WEIGHTS = torch.tensor([3.0, -4.0, 0.5, 0.0], dtype=torch.float64)


def test_the_linf_attack_of_a_linear_model_is_epsilon_times_the_sign() -> None:
    found = attacked(linear, torch.full((2, 1, 2, 2), 0.5), Attack("linf", 0.1, 4))
    expected = 0.5 + 0.1 * WEIGHTS.sign()
    assert torch.allclose(found.flatten(1).double(), expected.expand(2, 4), atol=1e-7)


def test_the_l2_attack_of_a_linear_model_is_epsilon_along_the_weights() -> None:
    found = attacked(linear, torch.full((2, 1, 2, 2), 0.5), Attack("l2", 0.3, 4))
    expected = 0.5 + 0.3 * WEIGHTS / WEIGHTS.norm()
    assert torch.allclose(found.flatten(1).double(), expected.expand(2, 4), atol=1e-6)


def test_the_attack_of_cross_entropy_of_two_classes_goes_along_the_difference_of_their_weights() -> None:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 1])

    def losses(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(pixels.double() @ rows.T, labels, reduction="none")

    away = torch.stack([rows[1 - label] - rows[label] for label in labels.tolist()])
    for attack, direction in (
        (Attack("linf", 0.05, 3), away.sign()),
        (Attack("l2", 0.05, 3), away / away.norm(dim=1, keepdim=True)),
    ):
        found = attacked(losses, torch.full((3, 6), 0.5), attack)
        assert torch.allclose(found.double(), 0.5 + 0.05 * direction, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", [None, 7])
def test_a_change_stays_in_the_ball_and_pixels_in_their_range(norm: Norm, seed: int | None) -> None:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.rand(6, 1, 3, 3, generator=generator)
    pixels[0], pixels[1] = 0.0, 1.0
    matrix = torch.randn(9, 4, generator=generator)

    def losses(rows: torch.Tensor) -> torch.Tensor:
        return ((rows.flatten(1) - 0.3) @ matrix).square().sum(1)

    chance = None if seed is None else torch.Generator().manual_seed(seed)
    attack = Attack(norm, 0.2, 7)
    found = attacked(losses, pixels, attack, chance)
    change = (found - pixels).flatten(1)
    lengths = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert float(lengths.max()) <= 0.2 + 1e-6
    assert float(found.min()) >= 0.0
    assert float(found.max()) <= 1.0
    assert bool((losses(found) >= losses(pixels)).all())
    assert float(lengths.min()) > 0.01


def test_a_convex_loss_is_largest_in_a_corner_of_the_ball() -> None:
    matrix = torch.tensor([[1.0, 0.2, -0.4], [0.1, -2.0, 0.3]])
    center = torch.tensor([0.45, 0.6, 0.5])

    def losses(rows: torch.Tensor) -> torch.Tensor:
        return ((rows - center) @ matrix.T).square().sum(1)

    start = torch.full((1, 3), 0.5)
    corners = torch.tensor(list(product((-0.1, 0.1), repeat=3))) + 0.5
    found = attacked(losses, start, Attack("linf", 0.1, 10))
    assert float(losses(found)) == pytest.approx(float(losses(corners).max()), rel=1e-5)


def test_of_all_points_on_the_way_the_worst_is_kept() -> None:
    def losses(rows: torch.Tensor) -> torch.Tensor:
        return -(rows[:, 0] - 0.53).abs()

    found = attacked(losses, torch.tensor([[0.5]]), Attack("linf", 0.2, 1, step=0.2))
    assert found.tolist() == [[0.5]]


def test_without_a_gradient_a_picture_stays_as_it_is() -> None:
    pixels = torch.full((1, 4), 0.25)
    for norm in NORMS:
        assert torch.equal(attacked(lambda rows: (rows * 0.0).sum(1), pixels, Attack(norm, 0.1, 3)), pixels)


def test_a_random_start_repeats_with_its_seed() -> None:
    pixels = torch.full((2, 4), 0.5)

    def start(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return attacked(lambda rows: (rows * 0.0).sum(1), pixels, Attack("l2", 0.1, 1), generator)

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))
