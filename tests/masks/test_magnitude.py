"""The magnitude mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.masks.magnitude import MAGNITUDE, keep_largest, kept_count
from merging_core.methods.info import Parameters
from tests.masks.leafwise import LeafSpan, masked


def largest(density: float, scope: str = "leaf") -> MaskSpec:
    return MaskSpec("magnitude", Parameters(density=density, scope=scope))


def test_golden_the_two_largest_of_five_stay() -> None:
    vector = torch.tensor([0.1, -5.0, 2.0, -0.3, 4.0])
    assert masked(vector, [LeafSpan("a", 0, 5)], largest(0.4)).tolist() == [0.0, -5.0, 0.0, 0.0, 4.0]


def test_golden_scope_decides_what_the_largest_are_chosen_from() -> None:
    vector = torch.tensor([1.0, 2.0, -30.0, 40.0])
    spans = [LeafSpan("a", 0, 2), LeafSpan("b", 2, 4)]
    assert masked(vector, spans, largest(0.5, "leaf")).tolist() == [0.0, 2.0, 0.0, 40.0]
    assert masked(vector, spans, largest(0.5, "model")).tolist() == [0.0, 0.0, -30.0, 40.0]


def test_all_elements_that_tie_with_the_threshold_stay() -> None:
    vector = torch.tensor([1.0, -1.0, 1.0, 0.5])
    assert masked(vector, [LeafSpan("a", 0, 4)], largest(0.25)).tolist() == [1.0, -1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("size", "density", "count"),
    [(10, 0.3, 3), (10, 0.7, 7), (1000, 0.029, 29), (4, 0.1, 1), (1, 1e-9, 1), (7, 1.0, 7), (3, 0.999, 2), (5, 0.2, 1)],
)
def test_the_count_is_the_floor_without_binary_surprises_and_at_least_one(
    size: int, density: float, count: int
) -> None:
    assert kept_count(size, density) == count


@given(st.floats(0.001, 1.0), st.integers(1, 200))
def test_what_stays_is_at_least_as_large_as_what_goes_and_as_many_as_asked(density: float, size: int) -> None:
    vector = torch.randn(size, generator=torch.Generator().manual_seed(size))
    kept = masked(vector, [LeafSpan("a", 0, size)], largest(density)).numpy()
    survivors = kept != 0
    assert survivors.sum() == kept_count(size, density)
    np.testing.assert_array_equal(kept[survivors], vector.numpy()[survivors])
    if not survivors.all():
        assert np.abs(vector.numpy()[~survivors]).max() < np.abs(kept[survivors]).min()


def test_density_one_is_the_identity() -> None:
    vector = torch.tensor([0.0, -0.0, 1e-45, 3.0])
    spans = [LeafSpan("a", 0, 4)]
    assert torch.equal(masked(vector, spans, largest(1.0)), vector)
    assert keep_largest(vector, MaskContext(Parameters(density=1.0))) is vector
    threshold = MAGNITUDE.thresholds([vector], Parameters(density=1.0))
    assert torch.equal(keep_largest(vector, MaskContext(Parameters(), threshold)), vector)


def test_zero_vectors_and_single_elements_stay_as_they_are() -> None:
    spans = [LeafSpan("a", 0, 1), LeafSpan("b", 1, 4), LeafSpan("empty", 4, 4)]
    assert masked(torch.zeros(4), spans, largest(0.01)).tolist() == [0.0] * 4
    vector = torch.tensor([1e-20, 0.0, 0.0, 2.0])
    assert torch.equal(masked(vector, spans, largest(0.01)), vector)
    assert masked(torch.zeros(0), [], largest(0.5)).shape == (0,)


def test_pieces_of_a_leaf_are_masked_like_the_leaf() -> None:
    vector = torch.randn(1000, generator=torch.Generator().manual_seed(2))
    spec = largest(0.1)
    whole = masked(vector, [LeafSpan("a", 0, 1000)], spec)
    threshold = MAGNITUDE.thresholds(vector.split(77), spec.params)
    pieces = [keep_largest(piece, MaskContext(spec.params, threshold)) for piece in vector.split(33)]
    assert torch.equal(torch.cat(pieces), whole)


def test_a_missing_threshold_is_an_error() -> None:
    with pytest.raises(ValueError, match="threshold"):
        keep_largest(torch.ones(2), MaskContext(Parameters(density=0.5)))


def test_the_vector_is_not_changed() -> None:
    vector = torch.tensor([1.0, 2.0, 3.0])
    masked(vector, [LeafSpan("a", 0, 3)], largest(0.4))
    assert vector.tolist() == [1.0, 2.0, 3.0]
