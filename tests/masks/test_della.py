"""The mask of DELLA: larger changes are kept more often, and the mean probability is the density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from merging_core.masks.coins import coin_key
from merging_core.masks.della import DELLA, keep_by_standing, probabilities
from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.masks.random import keep_at_random
from merging_core.masks.ranks import standings
from merging_core.methods.info import Parameters
from tests.masks.leafwise import LeafSpan, masked

COUNT = 1 << 17


def settings(**changes: float | str) -> Parameters:
    return DELLA.defaults().changed(**changes)


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_golden_probabilities_of_four_changes() -> None:
    # Standings of 0.5, −3, 2, 1: ⅛, ⅞, ⅝, ⅜; density 0.5, width 0.4: 0.5 + 0.4·(standing − ½).
    found = probabilities(standings(torch.tensor([[0.5, -3.0, 2.0, 1.0]]))[0], settings(epsilon=0.4))
    np.testing.assert_allclose(found.numpy(), [0.35, 0.65, 0.55, 0.45], rtol=1e-6)
    half = probabilities(standings(torch.tensor([[0.5, -3.0, 2.0, 1.0]]))[0], settings(epsilon=0.2, epsilon_is="half"))
    assert torch.equal(half, found)


@given(st.integers(1, 60), st.floats(0.001, 1.0), st.floats(0.0, 1.0), st.sampled_from(["width", "half"]))
def test_probabilities_stay_in_range_and_their_mean_is_the_density(
    size: int, density: float, epsilon: float, meaning: str
) -> None:
    found = probabilities(
        standings(drawn(size).view(1, -1))[0], settings(density=density, epsilon=epsilon, epsilon_is=meaning)
    )
    assert float(found.min()) >= 0.0 and float(found.max()) <= 1.0
    assert abs(float(found.double().mean()) - density) < 1e-6


def test_large_changes_are_kept_as_often_as_their_probability_says() -> None:
    vector = drawn(COUNT)
    standing = standings(vector.view(1, -1))[0]
    context = MaskContext(settings(epsilon=0.8, rescale="none"), standings=standing, key=coin_key(3, "x", "y"))
    kept = keep_by_standing(vector, context) != 0
    for low in (0.0, 0.25, 0.5, 0.75):
        among = (standing > low) & (standing < low + 0.25)
        chance = 0.5 + 0.8 * (low + 0.125 - 0.5)
        assert stats.binomtest(int((kept & among).sum()), int(among.sum()), chance).pvalue > 1e-4


def test_without_spread_it_is_the_random_mask() -> None:
    vector = drawn(4096)
    context = MaskContext(settings(epsilon=0.0, rescale="none"), standings=standings(vector.view(1, -1))[0], key=9)
    assert torch.equal(keep_by_standing(vector, context), keep_at_random(vector, context))


def test_survivors_are_divided_by_their_probability_so_that_the_mean_stays() -> None:
    vector = torch.linspace(1.0, 2.0, COUNT)
    standing = standings(vector.view(1, -1))[0]
    params = settings(density=0.4, epsilon=0.6)
    kept = keep_by_standing(vector, MaskContext(params, standings=standing, key=11))
    chance = probabilities(standing, params)
    on = kept != 0
    assert torch.equal(kept[on], vector[on] / chance[on])
    spread = float((vector.double() ** 2 * (1 / chance.double() - 1)).sum().sqrt() / COUNT)
    assert abs(float(kept.double().mean() - vector.double().mean())) < 5 * spread


def test_the_norm_of_a_leaf_stays_where_the_recipe_asks_for_it() -> None:
    vector = drawn(1000)
    spans = [LeafSpan("a", 0, 600, (20, 30)), LeafSpan("b", 600, 1000, (400,))]
    found = masked(vector, spans, MaskSpec("della", settings(rescale="norm")), seed=2, content="c")
    for span in spans:
        part = slice(span.start, span.stop)
        np.testing.assert_allclose(found[part].abs().double().sum(), vector[part].abs().double().sum(), rtol=1e-6)


def test_rows_are_ranked_by_themselves() -> None:
    # The smallest of a row of large changes is dropped surely where density and width allow nothing else.
    vector = torch.tensor([1.0, 2.0, 100.0, 200.0])
    params = settings(density=0.5, epsilon=1.0, rescale="none")
    within_row = standings(vector.view(2, 2)).view(-1)
    assert probabilities(within_row, params).tolist() == [0.25, 0.75, 0.25, 0.75]
    assert probabilities(standings(vector.view(1, 4))[0], params).tolist() == [0.125, 0.375, 0.625, 0.875]


@pytest.mark.parametrize("density", [1e-12, 0.1, 0.9, 0.999])
@pytest.mark.parametrize("rescale", ["probability", "norm", "none"])
def test_any_density_and_spread_give_finite_numbers(density: float, rescale: str) -> None:
    for size in (1, 2, 7):
        vector = drawn(size)
        spec = MaskSpec("della", settings(density=density, epsilon=1.0, rescale=rescale))
        for seed in range(5):
            assert bool(torch.isfinite(masked(vector, [LeafSpan("a", 0, size, ())], spec, seed=seed)).all())


def test_density_one_keeps_everything_as_it_is() -> None:
    vector = torch.tensor([1.0, -0.0, 3.0])
    assert keep_by_standing(vector, MaskContext(settings(density=1.0))) is vector


@given(st.integers(0, 70_000), st.integers(0, 300), st.integers(0, 300))
def test_a_piece_is_masked_as_it_is_within_its_leaf(start: int, first: int, second: int) -> None:
    params, vector = settings(), drawn(first + second)
    standing = drawn(first + second, seed=1).sigmoid()

    def kept(low: int, high: int) -> torch.Tensor:
        context = MaskContext(params, standings=standing[low:high], key=5, start=start + low)
        return keep_by_standing(vector[low:high], context)

    assert torch.equal(torch.cat((kept(0, first), kept(first, first + second))), kept(0, first + second))


def test_missing_standings_are_an_error() -> None:
    with pytest.raises(ValueError, match="standing"):
        keep_by_standing(torch.ones(2), MaskContext(settings()))
