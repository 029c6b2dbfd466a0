"""Soft permutations: doubly stochastic, tied as members are, hard where logits are, and the step of the search."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from torch.nn.functional import cross_entropy

from merging_core.alignment.permuting import permuted
from merging_core.alignment.soft import hardened, logits_of, sinkhorn, soft_member, softly_permuted
from merging_core.alignment.soft_matching import SoftStanding, distance, soft_begun, soft_stepped
from merging_core.alignment.symmetry import AxisClass, Free, Heads, Site, Symmetry
from tests.alignment.small import small


def reference(logits: numpy.ndarray, rounds: int) -> numpy.ndarray:
    """Scale the plain matrix, in Python's float64."""
    found = numpy.exp(logits.astype(numpy.float64))
    for _ in range(rounds):
        found = found / found.sum(1, keepdims=True)
        found = found / found.sum(0, keepdims=True)
    return found


def heads(rotary: bool = False) -> Symmetry:
    """Two key heads of width 3 with two query heads each, values of width 2."""
    classes = [
        AxisClass(part, size, (Site(f"{part}.weight", 0),)) for part, size in (("q", 12), ("k", 6), ("v", 4), ("o", 8))
    ]
    return Symmetry((Heads("attention", 4, 2, *classes, rotary=rotary),))


def test_sinkhorn_is_scaling_of_rows_and_columns() -> None:
    logits = 3 * torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = sinkhorn(logits, 40)
    for one, told in zip(logits.numpy(), found, strict=True):
        assert told.numpy() == pytest.approx(reference(one, 40), abs=1e-12)
    assert found.sum(-1).numpy() == pytest.approx(numpy.ones((3, 6)), abs=1e-2)
    assert found.sum(-2).numpy() == pytest.approx(numpy.ones((3, 6)), abs=1e-12)
    assert torch.autograd.gradcheck(lambda given: sinkhorn(given, 5), logits[0].requires_grad_())


@pytest.mark.parametrize("rotary", [False, True])
def test_soft_heads_are_doubly_stochastic_and_become_members_where_they_harden(rotary: bool) -> None:
    symmetry = heads(rotary)
    group = symmetry.groups[0]
    logits = {name: 5 * leaf for name, leaf in logits_of(symmetry, 3).items()}
    soft = soft_member(symmetry, logits, 1.0, 200)
    for units in group.classes:
        ones = numpy.ones(units.size)
        assert soft[units.name].sum(0).numpy() == pytest.approx(ones, abs=1e-4)
        assert soft[units.name].sum(1).numpy() == pytest.approx(ones, abs=1e-2)
    chance = numpy.random.default_rng(4)
    member = group.drawn(chance)
    order = member["k"].reshape(2, 3)[:, 0] // 3
    queries = member["q"].reshape(2, 2, 3)[:, :, 0] // 3 - 2 * order[:, None]
    within = {"tied": member["k"].reshape(2, 3) % 3, "values": member["v"].reshape(2, 2) % 2, "queries": queries}
    told = {name: torch.zeros_like(leaf) for name, leaf in logits.items()}
    for new, old in enumerate(order):
        told["attention heads"][new, old] = 1.0
        for part, rows in within.items():
            told[f"attention {part}"][new, old, range(rows.shape[1]), rows[new]] = 1.0
    exact = soft_member(symmetry, told, 0.01, 30)
    again = hardened(symmetry, exact)
    assert all((again[name] == member[name]).all() for name in member)
    for name, indices in member.items():
        assert exact[name].numpy() == pytest.approx(numpy.eye(len(indices))[indices], abs=1e-6)


@pytest.mark.parametrize("name", ["mlp", "vit"])
def test_hard_matrices_permute_as_members_do(name: str) -> None:
    _, weights, _, claimed = small(name)
    member = claimed.drawn(6)
    matrices = {units: torch.eye(len(indices))[torch.from_numpy(indices)] for units, indices in member.items()}
    soft, hard = softly_permuted(claimed, weights, matrices), permuted(claimed, weights, member)
    assert all(torch.equal(soft[leaf], hard[leaf]) for leaf in hard)
    again = hardened(claimed, matrices)
    assert all((again[units] == member[units]).all() for units in member)


def test_repeated_and_shifted_units_are_mixed_where_they_stand() -> None:
    units = Free(AxisClass("h", 2, (Site("w", 1, offset=1, repeat=2),)))
    matrix = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    mixed = softly_permuted(Symmetry((units,)), {"w": torch.arange(6.0)[None]}, {"h": matrix})
    assert mixed["w"].tolist() == [[0.0, 2.0, 3.0, 3.0, 4.0, 5.0]]


def searched(by_weights: bool) -> tuple[list[SoftStanding], Any, Any, Any, Any, Any]:
    found, first, inputs, claimed = small("mlp", rows=30)
    _, second, _, _ = small("mlp", seed=8)
    labels = torch.arange(30) % 3

    def loss(weights: Any) -> torch.Tensor:
        return cross_entropy(found.forward(weights, inputs), labels)

    def slope(weights: Any, step: int) -> tuple[float, dict[str, torch.Tensor]]:
        leaves = {name: leaf.clone().requires_grad_() for name, leaf in weights.items()}
        value = loss(leaves)
        return float(value.detach()), dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))

    def judge(weights: Any) -> float:
        with torch.no_grad():
            if by_weights:
                return float(distance(claimed, first, weights))
            return float(loss({name: (leaf + weights[name]) / 2 for name, leaf in first.items()}))

    standings = [soft_begun(claimed, second, judge)]
    for _ in range(25):
        asked = None if by_weights else slope
        standings.append(soft_stepped(standings[-1], claimed, first, second, asked, judge, rate=0.2))
    return standings, claimed, first, second, loss, judge


@pytest.mark.parametrize("by_weights", [False, True])
def test_a_search_is_adamw_through_all_rounds_in_float64(by_weights: bool) -> None:
    standings, claimed, first, second, loss, judge = searched(by_weights)
    logits = {name: leaf.double().requires_grad_() for name, leaf in logits_of(claimed).items()}
    optimiser = torch.optim.AdamW(list(logits.values()), lr=0.2)
    for step in range(8):
        soft = {}
        for name, leaf in logits.items():
            matrix = leaf.exp()
            for _ in range(20):
                matrix = matrix / matrix.sum(1, keepdim=True)
                matrix = matrix / matrix.sum(0, keepdim=True)
            soft[name] = matrix
        given = {name: leaf.double() for name, leaf in second.items()}
        one, two = soft["hidden 0"], soft["hidden 1"]
        moved = {
            "layers.0.weight": one @ given["layers.0.weight"],
            "layers.0.bias": one @ given["layers.0.bias"],
            "layers.1.weight": two @ given["layers.1.weight"] @ one.T,
            "layers.1.bias": two @ given["layers.1.bias"],
            "layers.2.weight": given["layers.2.weight"] @ two.T,
        }
        if by_weights:
            aim = torch.stack([((first[name].double() - leaf) ** 2).sum() for name, leaf in moved.items()]).sum()
        else:
            aim = loss({name: ((leaf + {**given, **moved}[name]) / 2).float() for name, leaf in first.items()})
        optimiser.zero_grad()
        aim.backward()
        optimiser.step()
        assert standings[step + 1].soft == pytest.approx(float(aim.detach()), rel=1e-4)
    for name, leaf in logits.items():
        assert standings[8].logits[name].numpy() == pytest.approx(leaf.detach().numpy(), abs=2e-3)


@pytest.mark.parametrize("by_weights", [False, True])
def test_the_best_only_falls_and_is_what_was_judged(by_weights: bool) -> None:
    standings, claimed, _, second, _, judge = searched(by_weights)
    losses = [one.loss for one in standings]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] == judge(second)
    assert judge(permuted(claimed, second, standings[-1].best)) == losses[-1]
    assert standings[-1].soft < standings[1].soft and len(standings[-1].judged) > 1
