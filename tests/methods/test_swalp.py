"""SWALP: averages of few bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.methods.registry import method
from merging_core.methods.swalp import SWALP, block_rounded
from merging_core.recipes.parse import parse_recipe
from tests.engines.leaves64 import block_rounded64
from tests.methods.whole import combine, drawn


def test_golden_eight_quarters() -> None:
    # The largest magnitude 1.6 has exponent 0: with 4 bits the unit is 2⁻² and at most 7 units count.
    run = torch.tensor([[1.0, 0.2, -1.0, 0.0], [2.2, 0.5, -0.3, 0.0]])
    assert combine(SWALP, run, bits=4).tolist() == [1.5, 0.25, -0.75, 0.0]
    # Each first: (1, 0.25, −1, 0) and, with exponent 1 and unit ½, (2, 0.5, −0.5, 0).
    assert combine(SWALP, run, bits=4, rounded="each").tolist() == [1.5, 0.375, -0.75, 0.0]


@given(st.integers(1, 5), st.integers(2, 16), st.sampled_from(["average", "each", "both"]), st.integers(0, 2**31))
def test_it_agrees_with_float64(count: int, bits: int, rounded: str, seed: int) -> None:
    run = np.random.default_rng(seed).normal(size=(count, 30)).astype(np.float32)
    checkpoints = [row.astype(np.float64) for row in run]
    if rounded != "average":
        checkpoints = [block_rounded64(row, bits) for row in checkpoints]
    mean = sum(checkpoints) / count
    expected = mean if rounded == "each" else block_rounded64(mean, bits)
    found = combine(SWALP, torch.from_numpy(run), bits=bits, rounded=rounded).numpy()
    # A mean half way between two units may be rounded either way by its last bit.
    assert np.isclose(found, expected, rtol=1e-6).mean() > 0.9


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_there_are_no_more_numbers_than_bits_allow_and_none_is_far(bits: int) -> None:
    values = drawn(1, 4000)[0].double()
    found = block_rounded(values, bits)
    assert len(found.unique()) <= 2**bits - 1
    largest = float(values.abs().max())
    unit = 2.0 ** (np.floor(np.log2(largest)) - bits + 2)
    assert float((found - values).abs().max()) <= unit * (1.0 if bits > 2 else 2.0)


def test_at_random_numbers_go_to_a_neighbour_and_keep_their_mean() -> None:
    # 8 bits, and 1 is the largest number: a unit is 2⁻⁶.
    values = torch.full((1, 20_000), 10.3 / 64)
    values[0, 0] = 1.0
    found = combine(SWALP, values, rounding="random")[1:] * 64
    assert set(found.tolist()) == {10.0, 11.0}
    assert abs(float(found.mean()) - 10.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5
    assert set((combine(SWALP, values)[1:] * 64).tolist()) == {10.0}
    # The coins belong to the numbers: the same run is rounded alike, another one otherwise.
    assert torch.equal(combine(SWALP, values, rounding="random")[1:] * 64, found)
    values[0, 1] = 0.5
    assert not torch.equal(combine(SWALP, values, rounding="random")[2:] * 64, found[1:])


def test_at_random_multiples_stay_and_none_goes_beyond_the_largest() -> None:
    values = torch.tensor([[1.999, -1.999, 1.0, 0.25, -0.5, 0.0]])
    found = combine(SWALP, values, bits=4, rounding="random")
    assert found[2:].tolist() == [1.0, 0.25, -0.5, 0.0]
    assert float(found.abs().max()) == 1.75


def test_many_bits_are_swa() -> None:
    run = drawn(4, 5, 7)
    np.testing.assert_allclose(combine(SWALP, run, bits=24, start=1), run[1:].mean(dim=0), atol=1e-6)


def test_an_empty_window_is_refused_and_zero_leaves_stay_zero() -> None:
    models = [{"ref": "zoo:a"}, {"ref": "zoo:b"}]
    with pytest.raises(RecipeError, match="some of 2 checkpoints"):
        parse_recipe({"version": 1, "models": models, "method": {"name": "swalp", "params": {"start": 2}}})
    assert not combine(SWALP, torch.zeros(3, 4)).any()
    assert method("swalp") is SWALP
