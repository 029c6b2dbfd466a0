"""The mask of DARE: what its coins leave is divided by the density."""

from __future__ import annotations

import torch

from merging_core.masks.coins import coin_key
from merging_core.masks.dare import drop_and_rescale
from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.methods.info import Parameters
from tests.masks.leafwise import LeafSpan, masked

COUNT = 1 << 17


def test_density_one_keeps_everything_as_it_is() -> None:
    vector = torch.tensor([1.0, -0.0, 3.0])
    assert drop_and_rescale(vector, MaskContext(Parameters(density=1.0), key=7)) is vector


def test_survivors_are_divided_by_the_density_and_the_mean_stays() -> None:
    density = 0.25
    kept = drop_and_rescale(torch.ones(COUNT), MaskContext(Parameters(density=density), key=11))
    assert set(kept.tolist()) == {0.0, 4.0}
    deviation = (1 / density - 1) ** 0.5 / COUNT**0.5
    assert abs(float(kept.mean()) - 1) < 5 * deviation


def test_a_whole_vector_is_masked_leaf_by_leaf() -> None:
    vector = torch.randn(900, generator=torch.Generator().manual_seed(0))
    spans = [LeafSpan("a", 0, 400), LeafSpan("b", 400, 900)]
    params = Parameters(density=0.5)
    whole = masked(vector, spans, MaskSpec("dare", params), seed=4, content="c")
    pieces = [
        drop_and_rescale(vector[:400], MaskContext(params, key=coin_key(4, "c", "a"))),
        drop_and_rescale(vector[400:500], MaskContext(params, key=coin_key(4, "c", "b"))),
        drop_and_rescale(vector[500:], MaskContext(params, key=coin_key(4, "c", "b"), start=100)),
    ]
    assert torch.equal(torch.cat(pieces), whole)
    assert not torch.equal(masked(vector, spans, MaskSpec("dare", params), seed=5, content="c"), whole)
    assert not torch.equal(masked(vector, spans, MaskSpec("dare", params), seed=4, content="d"), whole)


def test_a_density_too_small_for_any_coin_leaves_nothing_rather_than_infinity() -> None:
    for density in (2.0**-33, 1e-40, 5e-324):
        assert drop_and_rescale(torch.ones(5), MaskContext(Parameters(density=density))).tolist() == [0.0] * 5
    least = 2.0**-32
    assert drop_and_rescale(torch.ones(3), MaskContext(Parameters(density=least), key=0)).tolist() == [2.0**32, 0, 0]


def test_survivors_may_keep_the_norm_of_the_leaf_or_stay_as_they_are() -> None:
    vector = torch.randn(5000, generator=torch.Generator().manual_seed(1))
    spans = [LeafSpan("a", 0, 3000), LeafSpan("b", 3000, 5000)]
    as_is = masked(vector, spans, MaskSpec("dare", Parameters(density=0.3, rescale="none")), content="c")
    assert torch.equal(as_is, masked(vector, spans, MaskSpec("random", Parameters(density=0.3)), content="c"))
    normed = masked(vector, spans, MaskSpec("dare", Parameters(density=0.3, rescale="norm")), content="c")
    for span in spans:
        leaf, kept = vector[span.start : span.stop], normed[span.start : span.stop]
        assert abs(float(kept.abs().sum() / leaf.abs().sum()) - 1) < 1e-5
        assert torch.equal(kept != 0, as_is[span.start : span.stop] != 0)
    assert not torch.equal(normed, masked(vector, spans, MaskSpec("dare", Parameters(density=0.3)), content="c"))
