"""Sums over flat vectors: right to float64, and the same bits whatever the threads and the chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging_core.errors import SpaceError
from merging_core.space.reductions import (
    BLOCK,
    block_dot,
    block_dot_partials,
    block_gram_partials,
    block_l1,
    block_l1_partials,
    block_sum_of_squares,
    block_sum_of_squares_partials,
    blocks,
    combine_in_order,
)

LENGTHS = [0, 1, 2, 3, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 77]


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pair(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    return torch.randn(length, generator=generator), torch.randn(length, generator=generator)


@pytest.mark.parametrize("length", LENGTHS)
def test_sums_agree_with_exact_ones(length: int) -> None:
    a, b = pair(length)
    x, y = a.double().tolist(), b.double().tolist()
    assert block_dot(a, b) == pytest.approx(math.fsum(p * q for p, q in zip(x, y, strict=True)), rel=1e-12, abs=1e-9)
    assert block_sum_of_squares(a) == pytest.approx(math.fsum(p * p for p in x), rel=1e-13)
    assert block_l1(a) == pytest.approx(math.fsum(map(abs, x)), rel=1e-13)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_number_of_threads_changes_no_bit(length: int) -> None:
    a, b = pair(length)
    found = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.add((block_dot(a, b), block_sum_of_squares(a), block_l1(a)))
    assert len(found) == 1


@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_chunks_of_whole_blocks_change_no_bit(blocks: int) -> None:
    a, b = pair(5 * BLOCK + 77)
    cuts = range(0, a.numel(), blocks * BLOCK)
    dots = torch.cat([block_dot_partials(a[at : at + blocks * BLOCK], b[at : at + blocks * BLOCK]) for at in cuts])
    squares = torch.cat([block_sum_of_squares_partials(a[at : at + blocks * BLOCK]) for at in cuts])
    sizes = torch.cat([block_l1_partials(a[at : at + blocks * BLOCK]) for at in cuts])
    assert combine_in_order(dots) == block_dot(a, b)
    assert combine_in_order(squares) == block_sum_of_squares(a)
    assert combine_in_order(sizes) == block_l1(a)
    assert squares.shape == (6,)


def test_the_tree_is_the_written_one() -> None:
    """Halves are added elementwise: ((x₀ + x₂) + (x₁ + x₃)) for four elements, shown by rounding."""
    a = torch.tensor([1e16, 1.0, -1e16, 1.0], dtype=torch.float64)
    assert block_dot(a, torch.ones(4, dtype=torch.float64)) == (1e16 + -1e16) + (1.0 + 1.0)
    assert sum(a.tolist()) != 2.0


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=40))
def test_zeros_at_the_end_change_no_bit(values: list[float]) -> None:
    a = torch.tensor(values, dtype=torch.float32)
    assert block_sum_of_squares(a) == block_sum_of_squares(torch.cat((a, torch.zeros(100))))


def test_inputs_are_left_as_they_were() -> None:
    a = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    block_dot(a, a), block_l1(a), block_sum_of_squares(a)
    assert a.tolist() == [-1.0, 2.0]


def test_strided_and_half_precision_vectors_are_summed_too() -> None:
    a = torch.arange(10.0)
    assert block_l1(a[::2]) == 20.0
    assert block_sum_of_squares(torch.tensor([3.0, 4.0], dtype=torch.bfloat16)) == 25.0


def test_other_shapes_are_refused() -> None:
    with pytest.raises(SpaceError, match="both vectors have one length"):
        block_dot(torch.ones(2), torch.ones(3))
    with pytest.raises(SpaceError, match="the vector is flat"):
        block_l1(torch.ones(2, 2))


@pytest.mark.parametrize("length", [0, 1, 5, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_inner_products_of_several_vectors_are_those_of_every_two(length: int) -> None:
    vectors = torch.stack([*pair(length), pair(length)[0] * 0.5 + 1.0])
    found = block_gram_partials(vectors)
    assert found.shape == (-(-length // BLOCK), 3, 3)
    for first in range(3):
        for second in range(3):
            assert torch.equal(found[:, first, second], block_dot_partials(vectors[first], vectors[second]))


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("cut", [1000, BLOCK, 100_003])
def test_pieces_of_any_size_are_regrouped_into_the_same_blocks(cut: int, at_once: int) -> None:
    vectors = torch.stack(pair(3 * BLOCK + 7))
    regrouped = list(blocks(vectors.split(cut, dim=1), at_once))
    assert [block.shape[1] for block in regrouped[:-1]] == [at_once * BLOCK] * (len(regrouped) - 1)
    assert torch.equal(torch.cat(regrouped, dim=1), vectors)
