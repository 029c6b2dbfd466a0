"""Many models brought to one centre: each is matched to the mean of the others until nothing moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy
import torch

from merging_core.alignment.permuting import permuted
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import match_weights

__all__ = ["Centre", "match_centre"]

Weights = Mapping[str, torch.Tensor]
_ROUNDS = 100
_PROGRESS = 1e-12


@dataclass(frozen=True)
class Centre:
    """A permutation of each model. `spread`: Σ ‖πᵢ(θᵢ) − their mean‖² over the leaves that the symmetry compares."""

    members: tuple[Mapping[str, Indices], ...]
    spread: float
    rounds: int
    complete: bool = False


def match_centre(
    symmetry: Symmetry,
    models: Sequence[Weights],
    *,
    seed: int = 0,
    heed: Callable[[], None] = lambda: None,
) -> Iterator[Centre]:
    """Yield permutations of two models or more with ever less spread, after each round; the last is complete.

    A round takes the models in a random order and matches each to the mean of the others, by weight matching from where
    it stands. It is kept where it comes nearer to that mean, so the spread never grows. Deterministic by the seed.

    Source: Ainsworth et al. 2023, arXiv:2209.04836, algorithm 3 (MergeMany). Deviation: it ends when a whole round
    changes nothing.
    """
    names = dict.fromkeys(site.leaf for units in symmetry.classes for site in units.sites if site.compared)
    leaves = [{name: model[name].double() for name in names} for model in models]
    members: list[Mapping[str, Indices]] = [symmetry.identity() for _ in models]
    moved = list(leaves)
    chance = numpy.random.default_rng(seed)
    for count in range(1, _ROUNDS + 1):
        progress = False
        for place in (int(one) for one in chance.permutation(len(models))):
            others = _mean([one for other, one in enumerate(moved) if other != place])
            start, own = members[place], int(chance.integers(1 << 31))
            *_, found = match_weights(symmetry, others, leaves[place], seed=own, start=start, heed=heed)
            candidate = permuted(symmetry, leaves[place], found.member)
            before, now = _distance(others, moved[place]), _distance(others, candidate)
            if now < before - _PROGRESS * max(1.0, before):
                members[place], moved[place], progress = found.member, candidate, True
        middle = _mean(moved)
        centre = Centre(tuple(members), sum(_distance(middle, one) for one in moved), count)
        yield centre
        if not progress:
            break
    yield Centre(centre.members, centre.spread, centre.rounds, complete=True)


def _mean(models: Sequence[Weights]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([model[name] for model in models]).mean(0) for name in models[0]}


def _distance(first: Weights, second: Weights) -> float:
    return float(sum(((leaf - second[name]) ** 2).sum() for name, leaf in first.items()))
