"""Soft permutations: doubly stochastic matrices by Sinkhorn's algorithm, in place of members of a symmetry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy
import torch

from merging_core.alignment.symmetry import Free, Heads, Indices, Symmetry
from merging_core.alignment.weight_matching import best_member

__all__ = ["hardened", "logits_of", "sinkhorn", "soft_member", "softly_permuted"]

Logits = Mapping[str, torch.Tensor]
_NOISE = 0.1


def sinkhorn(logits: torch.Tensor, rounds: int) -> torch.Tensor:
    """Return exp(logits) […, n, n] scaled to rows and columns that add up to 1, as nearly as so many rounds bring it.

    Rows and columns in turn, in logarithms; columns last, so that they add up to 1 exactly. Differentiable.

    Source: Sinkhorn 1964; Mena et al. 2018, arXiv:1802.08665.
    """
    for _ in range(rounds):
        logits = logits - torch.logsumexp(logits, -1, keepdim=True)
        logits = logits - torch.logsumexp(logits, -2, keepdim=True)
    return logits.exp()


def logits_of(symmetry: Symmetry, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return where a search begins: the identity and a little noise, for each free class and each part of heads.

    Heads have four: the order of key heads [g, g]; and for each pair of them the order of query heads [g, g, e, e], of
    queries and keys within [g, g, w, w], and of values within [g, g, v, v].
    """
    chance = numpy.random.default_rng(seed)

    def drawn(size: int, *before: int) -> torch.Tensor:
        noise = torch.from_numpy(chance.standard_normal((*before, size, size)))
        return (torch.eye(size, dtype=torch.float64) + _NOISE * noise).float()

    found = {}
    for group in symmetry.groups:
        if isinstance(group, Free):
            found[group.name] = drawn(group.units.size)
        elif isinstance(group, Heads):
            pair, (width, value_width) = (group.shared, group.shared), group.widths
            found[f"{group.name} heads"] = drawn(group.shared)
            found[f"{group.name} queries"] = drawn(group.heads // group.shared, *pair)
            found[f"{group.name} tied"] = drawn(width, *pair)
            found[f"{group.name} values"] = drawn(value_width, *pair)
        else:
            raise TypeError(f"no soft permutations for {type(group).__name__}")
    return found


def soft_member(symmetry: Symmetry, logits: Logits, temperature: float, rounds: int) -> dict[str, torch.Tensor]:
    """Return a doubly stochastic matrix [size, size] for every class: row i is made of which old units.

    Those of heads are products, so what is tied stays tied: P[(g, e, i), (h, f, j)] = O[g, h]·Q_gh[e, f]·T_gh[i, j];
    rotary queries and keys have T = 1 within.
    """

    def made(name: str) -> torch.Tensor:
        return sinkhorn(logits[name] / temperature, rounds)

    found: dict[str, torch.Tensor] = {}
    for group in symmetry.groups:
        if isinstance(group, Heads):
            found |= _of_heads(
                group, *(made(f"{group.name} {part}") for part in ("heads", "queries", "tied", "values"))
            )
        else:
            found[group.name] = made(group.name)
    return found


def softly_permuted(
    symmetry: Symmetry, weights: Mapping[str, torch.Tensor], member: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return weights whose units are mixed by soft permutations, new[i] = Σⱼ P[i, j]·old[j] along each place.

    With permutation matrices this is `permuted`; else the function is not preserved.
    """
    found = dict(weights)
    for units in symmetry.classes:
        for site in units.sites:
            leaf, count = found[site.leaf], units.size * site.repeat
            moved = leaf.narrow(site.axis, site.offset, count).movedim(site.axis, 0)
            mixed = (member[units.name].to(leaf) @ moved.reshape(units.size, -1)).reshape(moved.shape)
            ends = (
                leaf.narrow(site.axis, 0, site.offset),
                mixed.movedim(0, site.axis),
                leaf.narrow(site.axis, site.offset + count, leaf.shape[site.axis] - site.offset - count),
            )
            found[site.leaf] = torch.cat(ends, site.axis)
    return found


def hardened(symmetry: Symmetry, member: Mapping[str, torch.Tensor]) -> dict[str, Indices]:
    """Return the permutations nearest to soft ones: of all members the one with the largest ⟨P, π⟩ in each group."""
    found: dict[str, Indices] = {}
    for group in symmetry.groups:
        gains = {units.name: member[units.name].detach().double().cpu().numpy() for units in group.classes}
        found |= best_member(group, gains)
    return found


def _of_heads(
    group: Heads, order: torch.Tensor, queries: torch.Tensor, tied: torch.Tensor, values: torch.Tensor
) -> dict[str, torch.Tensor]:
    if group.rotary:
        tied = torch.eye(tied.shape[-1], dtype=tied.dtype, device=tied.device).expand_as(tied)
    of_queries, of_outputs = (torch.einsum("gh,ghef,ghij->geihfj", order, queries, within) for within in (tied, values))
    of_keys, of_values = (torch.einsum("gh,ghij->gihj", order, within) for within in (tied, values))
    return {
        units.name: matrix.reshape(units.size, units.size)
        for units, matrix in (
            (group.queries, of_queries), (group.keys, of_keys), (group.values, of_values), (group.outputs, of_outputs),
        )
    }  # fmt: skip
