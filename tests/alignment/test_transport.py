"""Transport of units: plans against brute force, widths that differ, copies that become one, and what is refused."""

from __future__ import annotations

from itertools import permutations

import numpy
import pytest
import torch

from merging_core.alignment.permuting import permuted
from merging_core.alignment.symmetry import Symmetry
from merging_core.alignment.templates import by_name
from merging_core.alignment.transport import entropic_plan, exact_plan, fused
from merging_core.errors import SpaceError
from tests.alignment.small import small

Weights = dict[str, torch.Tensor]


def perceptron(*widths: int, seed: int = 0) -> tuple[Symmetry, Weights]:
    """A perceptron of four inputs and three classes with random weights, and its symmetry."""
    chance = torch.Generator().manual_seed(seed)
    sizes = (4, *widths, 3)
    weights = {}
    for place in range(len(sizes) - 1):
        weights[f"layers.{place}.weight"] = torch.randn(sizes[place + 1], sizes[place], generator=chance)
        weights[f"layers.{place}.bias"] = torch.randn(sizes[place + 1], generator=chance)
    return claimed(weights), weights


def claimed(weights: Weights) -> Symmetry:
    return by_name({"model_type": "basin_mlp"}, {name: tuple(leaf.shape) for name, leaf in weights.items()})


def run(weights: Weights, rows: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the answers, and what each hidden layer does."""
    seen = {}
    count = len(weights) // 2
    for place in range(count):
        rows = rows @ weights[f"layers.{place}.weight"].T + weights[f"layers.{place}.bias"]
        if place + 1 < count:
            rows = rows.relu()
            seen[f"hidden {place}"] = rows
    return rows, seen


def doubled(weights: Weights) -> Weights:
    """Return a perceptron that computes the same with every hidden unit twice, in another order."""
    found = dict(weights)
    count = len(weights) // 2
    for place in range(count - 1):
        size = len(found[f"layers.{place}.bias"])
        order = torch.randperm(2 * size, generator=torch.Generator().manual_seed(place)) % size
        found[f"layers.{place}.weight"] = found[f"layers.{place}.weight"][order]
        found[f"layers.{place}.bias"] = found[f"layers.{place}.bias"][order]
        found[f"layers.{place + 1}.weight"] = found[f"layers.{place + 1}.weight"][:, order] / 2
    return found


ROWS = torch.randn(50, 4, generator=torch.Generator().manual_seed(9))


def test_an_exact_plan_of_equal_widths_is_the_best_of_all_orders() -> None:
    costs = numpy.random.default_rng(0).random((5, 5))
    best = min(sum(costs[row, column] for row, column in enumerate(order)) for order in permutations(range(5)))
    assert (exact_plan(costs) * costs).sum() * 5 == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2, 4)])
def test_an_exact_plan_of_unequal_widths_is_the_best_of_all_orders_of_equal_pieces(shape: tuple[int, int]) -> None:
    costs = numpy.random.default_rng(1).random(shape)
    pieces = numpy.lcm(*shape)
    small_costs = costs.repeat(pieces // shape[0], 0).repeat(pieces // shape[1], 1)
    orders = permutations(range(pieces))
    best = min(sum(small_costs[row, column] for row, column in enumerate(order)) for order in orders) / pieces
    plan = exact_plan(costs)
    assert (plan * costs).sum() == pytest.approx(best, abs=1e-9)
    assert plan.sum(1) == pytest.approx(numpy.full(shape[0], 1 / shape[0]))
    assert plan.sum(0) == pytest.approx(numpy.full(shape[1], 1 / shape[1]))


def test_an_entropic_plan_is_scaling_and_comes_to_the_exact_one() -> None:
    costs = numpy.random.default_rng(2).random((4, 6))
    kernel = numpy.exp(-costs / (0.1 * costs.max()))
    left, right = numpy.ones(4), numpy.ones(6)
    for _ in range(5_000):
        left = (1 / 4) / (kernel @ right)
        right = (1 / 6) / (kernel.T @ left)
    assert entropic_plan(costs, 0.1) == pytest.approx(left[:, None] * kernel * right, abs=1e-9)
    least = (exact_plan(costs) * costs).sum()
    above = [(entropic_plan(costs, strength) * costs).sum() - least for strength in (1.0, 0.1, 0.01)]
    assert above[0] > above[1] > above[2] > -1e-9 and above[2] < 1e-3


@pytest.mark.parametrize("by", ["weights", "activations"])
def test_copies_of_units_become_one_and_one_becomes_its_copies(by: str) -> None:
    narrow_symmetry, narrow = perceptron(5, 4)
    wide = doubled(narrow)
    wide_symmetry = claimed(wide)
    answers = run(narrow, ROWS)[0].numpy()
    assert run(wide, ROWS)[0].numpy() == pytest.approx(answers, abs=1e-4)
    for ours, theirs, first, second in (
        (narrow_symmetry, wide_symmetry, narrow, wide),
        (wide_symmetry, narrow_symmetry, wide, narrow),
    ):
        seen = (run(first, ROWS)[1], run(second, ROWS)[1]) if by == "activations" else None
        found = fused(ours, theirs, first, second, activations=seen)
        for weights in (found.weights, found.carried):
            assert {name: leaf.shape for name, leaf in weights.items()} == {n: leaf.shape for n, leaf in first.items()}
            assert run(dict(weights), ROWS)[0].numpy() == pytest.approx(answers, abs=1e-3)


def test_a_permuted_copy_is_carried_back_exactly_and_says_that_it_is_preserved() -> None:
    symmetry, weights = perceptron(6, 5)
    copy = permuted(symmetry, weights, symmetry.drawn(1))
    found = fused(symmetry, symmetry, weights, copy, share=0.3)
    assert found.preserving
    for name, leaf in weights.items():
        assert found.carried[name].numpy() == pytest.approx(leaf.numpy(), abs=1e-6)
        assert found.weights[name].numpy() == pytest.approx(leaf.numpy(), abs=1e-6)


def test_a_soft_plan_is_not_function_preserving_and_says_so() -> None:
    symmetry, weights = perceptron(6, 5)
    copy = permuted(symmetry, weights, symmetry.drawn(1))
    found = fused(symmetry, symmetry, weights, copy, share=1.0, strength=1.0)
    assert not found.preserving
    assert (run(dict(found.weights), ROWS)[0] - run(copy, ROWS)[0]).abs().max() > 0.1
    assert all(plan.sum() == pytest.approx(1.0) for plan in found.plans.values())


def test_what_is_no_chain_of_layers_is_refused_with_every_class() -> None:
    _, weights, _, vit = small("vit")
    with pytest.raises(SpaceError, match="attention 0 queries") as caught:
        fused(vit, vit, weights, weights)
    assert "attention 1 keys" in str(caught.value)
    first, second = perceptron(5, 4), perceptron(5)
    with pytest.raises(SpaceError, match="hidden 1"):
        fused(first[0], second[0], first[1], second[1])
