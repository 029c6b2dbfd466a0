"""Straight-through matching: the step of the algorithm, never worse than no permutation, and copies found again."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import cross_entropy

from merging_core.alignment.permuting import permuted
from merging_core.alignment.straight_through import Judge, Slope, Standing, begun, middle, stepped
from merging_core.alignment.symmetry import Symmetry
from merging_core.evaluation.architectures import Architecture
from tests.alignment.small import small

Weights = dict[str, torch.Tensor]


def taught(found: Architecture, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[Slope, Judge]:
    """The loss of all examples, and its gradient, whatever the step."""

    def loss(weights: Any) -> torch.Tensor:
        return cross_entropy(found.forward(weights, inputs), labels)

    def slope(weights: Any, step: int) -> tuple[float, Weights]:
        leaves = {name: leaf.clone().requires_grad_() for name, leaf in weights.items()}
        value = loss(leaves)
        return float(value.detach()), dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))

    def judge(weights: Any) -> float:
        with torch.no_grad():
            return float(loss(weights))

    return slope, judge


def searched(
    name: str, steps: int, rate: float, copied: bool = False
) -> tuple[list[Standing], Symmetry, Weights, Weights, Judge]:
    found, first, inputs, claimed = small(name, rows=40)
    second = permuted(claimed, first, claimed.drawn(0)) if copied else small(name, seed=7)[1]
    with torch.no_grad():
        labels = found.forward(first, inputs).flatten(1).argmax(1)
    slope, judge = taught(found, inputs, labels)
    standings = [begun(claimed, first, second, judge, seed=1)]
    for _ in range(steps):
        standings.append(stepped(standings[-1], claimed, first, second, slope, judge, rate=rate, seed=1))
    return standings, claimed, first, second, judge


def test_a_step_is_that_of_the_algorithm_in_float64() -> None:
    """One hidden layer, so that the projection is one assignment; gradients by the trick that names the method."""
    from merging_core.alignment.templates import by_name

    chance = torch.Generator().manual_seed(2)
    shapes = {"layers.0.weight": (6, 4), "layers.0.bias": (6,), "layers.1.weight": (3, 6), "layers.1.bias": (3,)}
    first, second = ({name: torch.randn(shape, generator=chance) for name, shape in shapes.items()} for _ in range(2))
    inputs, labels = torch.randn(30, 4, generator=chance), torch.randint(0, 3, (30,), generator=chance)

    def forward(weights: Any, rows: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(rows @ weights["layers.0.weight"].T + weights["layers.0.bias"])
        return hidden @ weights["layers.1.weight"].T + weights["layers.1.bias"]

    def placed(order: Any) -> Weights:
        given = {name: leaf.double() for name, leaf in second.items()}
        rows = {name: given[name][order] for name in ("layers.0.weight", "layers.0.bias")}
        return {**given, **rows, "layers.1.weight": given["layers.1.weight"][:, order]}

    names = list(shapes)[:3]
    copy = {name: first[name].double() for name in names}
    speed = {name: torch.zeros(shapes[name], dtype=torch.float64) for name in names}
    orders = []
    for step in range(9):
        given = {name: leaf.double() for name, leaf in second.items()}
        worth = copy["layers.0.weight"] @ given["layers.0.weight"].T
        worth += torch.outer(copy["layers.0.bias"], given["layers.0.bias"])
        worth += copy["layers.1.weight"].T @ given["layers.1.weight"]
        orders.append(linear_sum_assignment(worth.numpy(), maximize=True)[1])
        if step == 8:
            break
        leaves = {name: leaf.clone().requires_grad_() for name, leaf in copy.items()}
        through = {
            name: (leaf.detach() + (leaves[name] - leaves[name].detach()) if name in leaves else leaf)
            for name, leaf in placed(orders[-1]).items()
        }
        half = {name: 0.5 * first[name].double() + 0.5 * leaf for name, leaf in through.items()}
        cross_entropy(forward(half, inputs.double()), labels).backward()
        speed = {name: 0.9 * speed[name] + leaves[name].grad for name in names}
        copy = {name: copy[name] - 2.0 * speed[name] for name in names}

    claimed = by_name({"model_type": "basin_mlp"}, shapes)
    slope, judge = taught(type("Given", (), {"forward": staticmethod(forward)}), inputs, labels)
    standing = begun(claimed, first, second, judge)
    found = [standing.member["hidden 0"]]
    for _ in range(8):
        standing = stepped(standing, claimed, first, second, slope, judge, rate=2.0)
        found.append(standing.member["hidden 0"])
    assert [row.tolist() for row in found] == [row.tolist() for row in orders]
    assert len({tuple(row) for row in orders}) > 2
    assert all(standing.copy[name].double() == pytest.approx(copy[name], abs=1e-4) for name in names)


@pytest.mark.parametrize("name", ["mlp", "vit"])
def test_the_best_only_falls_is_what_was_judged_and_is_a_member(name: str) -> None:
    standings, claimed, first, second, judge = searched(name, 12, 2.0)
    losses = [one.loss for one in standings]
    assert losses == sorted(losses, reverse=True) and losses[-1] <= judge(middle(first, second))
    best = standings[-1].best
    assert judge(middle(first, permuted(claimed, second, best))) == losses[-1]
    assert all(group.problem(best) == "" for group in claimed.groups)
    assert [one.step for one in standings] == list(range(13)) and len(standings[-1].judged) > 1


def test_a_permuted_copy_is_found_at_once() -> None:
    standings, claimed, first, second, judge = searched("mlp", 0, 1.0, copied=True)
    again = permuted(claimed, second, standings[0].best)
    assert all(torch.equal(leaf, first[name]) for name, leaf in again.items())
    assert standings[0].loss == judge(first) < judge(middle(first, second))


def test_it_goes_on_from_where_it_stood_to_the_same_end() -> None:
    whole, *_ = searched("mlp", 8, 2.0)
    again, *_ = searched("mlp", 8, 2.0)
    assert all((whole[-1].best[name] == again[-1].best[name]).all() for name in whole[-1].best)
    assert all(torch.equal(leaf, again[-1].copy[name]) for name, leaf in whole[-1].copy.items())
    assert not numpy.isnan(whole[-1].batch)
