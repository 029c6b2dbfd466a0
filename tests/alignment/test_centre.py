"""Many models to one centre: copies meet, the spread only falls, and no model can come nearer by itself."""

from __future__ import annotations

from itertools import permutations

import numpy
import pytest
import torch

from merging_core.alignment.centre import match_centre
from merging_core.alignment.permuting import permuted
from merging_core.alignment.templates import by_name
from tests.alignment.small import small


@pytest.mark.parametrize("name", ["mlp", "vit"])
def test_permuted_copies_meet_exactly(name: str) -> None:
    _, weights, _, claimed = small(name)
    copies = [permuted(claimed, weights, claimed.drawn(seed)) for seed in range(3)]
    last = [list(match_centre(claimed, copies, seed=seed))[-1] for seed in range(6)]
    best = min(last, key=lambda centre: centre.spread)
    assert best.complete and best.spread < 1e-20
    together = [permuted(claimed, copy, member) for copy, member in zip(copies, best.members, strict=True)]
    assert all(torch.equal(together[0][leaf], other[leaf]) for other in together for leaf in weights)
    assert all(group.problem(member) == "" for member in best.members for group in claimed.groups)


def test_the_spread_only_falls_is_what_it_says_and_is_the_same_by_its_seed() -> None:
    _, _, _, claimed = small("vit")
    models = [small("vit", seed)[1] for seed in range(4)]
    runs = [list(match_centre(claimed, models, seed=5)) for _ in range(2)]
    spreads = [centre.spread for centre in runs[0]]
    assert spreads == sorted(spreads, reverse=True) and spreads == [centre.spread for centre in runs[1]]
    names = {site.leaf for units in claimed.classes for site in units.sites}
    moved = [permuted(claimed, one, member) for one, member in zip(models, runs[0][-1].members, strict=True)]

    def spread(given: list[dict[str, torch.Tensor]]) -> float:
        total = 0.0
        for name in names:
            leaves = numpy.stack([one[name].double().numpy() for one in given])
            total += float(((leaves - leaves.mean(0)) ** 2).sum())
        return total

    assert spreads[-1] == pytest.approx(spread(moved)) and spreads[-1] < 0.95 * spread(models)


def test_in_the_end_no_order_of_one_model_is_nearer_to_the_mean_of_the_others() -> None:
    """One hidden layer of five units, all 120 orders tried in float64."""
    chance = torch.Generator().manual_seed(1)
    shapes = {"layers.0.weight": (5, 4), "layers.0.bias": (5,), "layers.1.weight": (3, 5), "layers.1.bias": (3,)}
    models = [{name: torch.randn(shape, generator=chance) for name, shape in shapes.items()} for _ in range(4)]
    claimed = by_name({"model_type": "basin_mlp"}, shapes)
    *_, found = match_centre(claimed, models, seed=2)
    rows = [
        torch.cat((one["layers.0.weight"], one["layers.0.bias"][:, None], one["layers.1.weight"].T), 1).double().numpy()
        for one in models
    ]
    placed = [row[member["hidden 0"]] for row, member in zip(rows, found.members, strict=True)]
    for place, row in enumerate(rows):
        mean = sum(one for other, one in enumerate(placed) if other != place) / 3
        distances = [((mean - row[list(order)]) ** 2).sum() for order in permutations(range(5))]
        assert ((mean - placed[place]) ** 2).sum() == pytest.approx(min(distances), abs=1e-9)
