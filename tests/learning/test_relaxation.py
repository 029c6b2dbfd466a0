"""The Concrete mask: its gradient against finite differences, its limits, and its chance."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from merging_core.learning.leaves import merged_leaf
from merging_core.learning.objectives import entropy
from merging_core.learning.relaxation import concrete_mask, relaxed, relaxed_density, relaxed_share, uniform


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chance(count: int) -> torch.Tensor:
    return uniform(5, 1, "w", count)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("temperature", [0.3, 0.5, 2.0])
def test_the_gradient_is_that_of_finite_differences(temperature: float, rescale: bool) -> None:
    logits = drawn(7).requires_grad_()
    mask = partial(concrete_mask, chance=chance(7), temperature=temperature, rescale=rescale)
    assert torch.autograd.gradcheck(mask, (logits,), eps=1e-6, atol=1e-7)
    assert torch.autograd.gradcheck(lambda x: concrete_mask(x, chance(7), 0.5, "mean"), (logits,))


def test_the_gradient_of_the_whole_path_is_that_of_finite_differences() -> None:
    base, vectors, inputs = drawn(6, seed=1), [drawn(6, seed=2), drawn(6, seed=3)], drawn(4, 2, seed=4)

    def loss(logits: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
        mask = concrete_mask(logits, chance(6), 0.5)
        weights = merged_leaf(coefficients, mask, base, vectors, 0.3).view(3, 2)
        return entropy(inputs @ weights.T).mean()

    assert torch.autograd.gradcheck(loss, (drawn(6).requires_grad_(), drawn(2).requires_grad_()), eps=1e-6, atol=1e-8)


def test_straight_through_has_the_values_of_zero_and_one_and_the_gradient_of_the_relaxed_sample() -> None:
    logits, along = drawn(5).requires_grad_(), drawn(5, seed=9)
    hard = concrete_mask(logits, chance(5), 0.5, "straight", rescale=False)
    soft = concrete_mask(logits, chance(5), 0.5, "soft", rescale=False)
    assert torch.equal(hard, (soft > 0.5).double())
    first, second = (torch.autograd.grad((mask * along).sum(), logits)[0] for mask in (hard, soft))
    assert torch.equal(first, second)


def test_a_temperature_near_nothing_gives_the_coin_that_the_logits_promise() -> None:
    logits = torch.full((200_000,), 0.7, dtype=torch.float64)
    soft = relaxed(logits, chance(len(logits)), 1e-12)
    assert torch.equal(soft, soft.round())
    share = torch.sigmoid(logits[0]).item()
    assert soft.mean().item() == pytest.approx(share, abs=4e-3)
    assert concrete_mask(logits, chance(len(logits)), 0.5, "coin", rescale=False).mean().item() == pytest.approx(
        share, abs=4e-3
    )


@pytest.mark.parametrize("kind", ["soft", "straight", "hard", "coin", "mean"])
def test_logits_without_bounds_keep_everything_or_nothing(kind: str) -> None:
    logits = torch.tensor([torch.inf, torch.inf, -torch.inf, -torch.inf])
    mask = partial(concrete_mask, chance=chance(4), temperature=0.5, kind=kind)  # type: ignore[arg-type]
    assert mask(logits, rescale=False).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert mask(logits).tolist() == [2.0, 2.0, 0.0, 0.0]
    assert mask(torch.full((4,), -torch.inf)).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_a_mask_that_keeps_nothing_has_a_gradient_of_zero() -> None:
    logits = torch.full((3,), -500.0, requires_grad=True)
    concrete_mask(logits, chance(3), 0.5).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0, 0.0]


def test_rescaling_makes_the_mean_one() -> None:
    for kind in ("soft", "straight", "coin", "mean"):
        assert concrete_mask(drawn(1000), chance(1000), 0.5, kind).mean().item() == pytest.approx(1.0)  # type: ignore[arg-type]


def test_chance_is_even_and_named() -> None:
    numbers = uniform(0, 3, "layers.0.weight", 100_000)
    assert 0.0 < numbers.min() < numbers.max() < 1.0
    assert numbers.mean().item() == pytest.approx(0.5, abs=5e-3)
    assert numbers.var().item() == pytest.approx(1 / 12, abs=2e-3)
    assert not torch.equal(numbers[:9], uniform(0, 3, "layers.1.weight", 9))
    assert torch.equal(numbers[:9], uniform(0, 3, "layers.0.weight", 9))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_the_density_of_a_relaxed_coin_is_that_of_the_paper_and_of_its_samples(temperature: float) -> None:
    logit, at = 0.7, torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    alpha, low = torch.tensor(logit, dtype=torch.float64).exp(), -temperature - 1.0
    paper = temperature * alpha * at**low * (1 - at) ** low / (alpha * at**-temperature + (1 - at) ** -temperature) ** 2
    assert torch.allclose(relaxed_density(logit, at, temperature), paper, rtol=1e-12)
    step = 1e-6
    rise = relaxed_share(logit, at + step, temperature) - relaxed_share(logit, at - step, temperature)
    assert torch.allclose(rise / (2 * step), paper, rtol=1e-6)
    samples = relaxed(torch.tensor(logit, dtype=torch.float64), chance(200_000), temperature)
    found = torch.stack([(samples <= place).double().mean() for place in at[::12]])
    assert torch.allclose(found, relaxed_share(logit, at[::12], temperature), atol=4e-3)
