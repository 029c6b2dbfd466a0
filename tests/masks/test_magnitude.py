"""The magnitude mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.masks.magnitude import (
    keep_largest,
    kept_count,
    kth_largest_magnitude,
    magnitude_threshold,
)
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


@settings(max_examples=20)
@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=12),
    st.integers(1, 12),
    st.integers(3, 7),
)
def test_the_threshold_is_the_kth_largest_in_a_sorted_list(numbers: list[float], k: int, cut: int) -> None:
    vector = torch.tensor(numbers)
    k = min(k, len(numbers))
    expected = sorted((abs(number) for number in vector.tolist()), reverse=True)[k - 1]
    assert kth_largest_magnitude([vector], k).item() == expected
    assert kth_largest_magnitude(vector.split(cut), k).item() == expected


class Lazily:
    """Pieces that are made anew on every walk, as from a file; their size is not known beforehand."""

    def __init__(self, *pieces: torch.Tensor) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (piece.clone() for piece in self.pieces)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_counting_agrees_with_sorting_on_pieces_that_come_lazily(k: int) -> None:
    pieces = torch.tensor([3.0, -7.0]), torch.tensor([]), torch.tensor([7.0, 0.0, -1e-42])
    assert torch.equal(kth_largest_magnitude(Lazily(*pieces), k), kth_largest_magnitude(pieces, k))
    assert torch.equal(kth_largest_magnitude(pieces, k), torch.cat(pieces).abs().sort(descending=True).values[k - 1])
    with pytest.raises(ValueError, match="rank 6"):
        kth_largest_magnitude(Lazily(*pieces), 6)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_small_and_large_leaves_find_the_same_threshold(size: int) -> None:
    vector = torch.randn(size, generator=torch.Generator().manual_seed(size))
    params = Parameters(density=0.2)
    for pieces in ([vector], Lazily(*vector.split(1000))):
        assert torch.equal(magnitude_threshold(pieces, params), kth_largest_magnitude([vector], kept_count(size, 0.2)))


def test_a_vector_without_elements_has_no_threshold() -> None:
    with pytest.raises(ValueError, match="rank"):
        magnitude_threshold([torch.zeros(0)], Parameters(density=0.5))


def test_the_threshold_agrees_with_torch_at_size_and_for_subnormal_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(200_001, generator=generator) * 10.0 ** torch.randint(-44, 30, (200_001,), generator=generator)
    for k in (1, 2, 777, 100_000, 200_000, 200_001):
        expected = torch.kthvalue(vector.abs(), vector.numel() + 1 - k).values
        assert torch.equal(kth_largest_magnitude([vector[:5], vector[5:]], k), expected)


@pytest.mark.parametrize("k", [0, 4])
def test_a_rank_that_no_element_has_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        kth_largest_magnitude([torch.ones(3)], k)
    with pytest.raises(ValueError, match="rank"):
        kth_largest_magnitude([], 1)


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
    threshold = magnitude_threshold([vector], Parameters(density=1.0))
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
    threshold = magnitude_threshold(vector.split(77), spec.params)
    pieces = [keep_largest(piece, MaskContext(spec.params, threshold)) for piece in vector.split(33)]
    assert torch.equal(torch.cat(pieces), whole)


def test_a_missing_threshold_is_an_error() -> None:
    with pytest.raises(ValueError, match="threshold"):
        keep_largest(torch.ones(2), MaskContext(Parameters(density=0.5)))


def test_the_vector_is_not_changed() -> None:
    vector = torch.tensor([1.0, 2.0, 3.0])
    masked(vector, [LeafSpan("a", 0, 3)], largest(0.4))
    assert vector.tolist() == [1.0, 2.0, 3.0]
