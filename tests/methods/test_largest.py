"""The largest change wins: MagMax and EMR's unified vector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.contract import CombineContext
from merging_core.methods.largest import largest_change, largest_of_elected_sign
from merging_core.methods.registry import method


def magmax64(voices: np.ndarray) -> np.ndarray:
    """One element after the other, over models in the order of their magnitude and, of equals, the positive first."""
    return np.array([max(column, key=lambda voice: (abs(voice), voice)) for column in voices.T])


def emr64(voices: np.ndarray) -> np.ndarray:
    result = np.zeros(voices.shape[1])
    for i, column in enumerate(voices.T):
        total = column.sum()
        agreeing = [abs(voice) for voice in column if voice * total > 0]
        result[i] = np.sign(total) * max(agreeing, default=0.0)
    return result


BOTH = [(largest_change, magmax64), (largest_of_elected_sign, emr64)]


def test_golden_three_experts() -> None:
    # element 0: 3, 1, −4: MagMax takes −4; the sum 0 elects no sign. element 1: 2, −1, 0.5: both take 2.
    # element 2: −1, −2, 2.5: MagMax takes 2.5; the sum −0.5 elects −, whose largest is −2.
    vectors = torch.tensor([[3.0, 2.0, -1.0], [1.0, -1.0, -2.0], [-4.0, 0.5, 2.5]])
    assert largest_change(vectors, torch.ones(3), CombineContext()).tolist() == [-4.0, 2.0, 2.5]
    assert largest_of_elected_sign(vectors, torch.ones(3), CombineContext()).tolist() == [0.0, 2.0, -2.0]


def test_weights_count_for_the_magnitude() -> None:
    vectors = torch.tensor([[3.0], [-2.0]])
    assert largest_change(vectors, torch.tensor([1.0, 2.0]), CombineContext()).tolist() == [-4.0]
    assert largest_change(vectors, torch.tensor([-1.0, 1.0]), CombineContext()).tolist() == [-3.0]
    assert largest_of_elected_sign(vectors, torch.tensor([1.0, 2.0]), CombineContext()).tolist() == [-4.0]


@pytest.mark.parametrize(("ours", "reference"), BOTH)
@given(data=st.data())
def test_it_agrees_with_float64_on_small_whole_numbers(ours: object, reference: object, data: st.DataObject) -> None:
    count, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    numbers = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    vectors = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)), dtype=np.float32)
    weights = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=count, max_size=count)), dtype=np.float32)
    found = ours(torch.from_numpy(vectors), torch.from_numpy(weights), CombineContext())  # type: ignore[operator]
    expected = reference(vectors.astype(np.float64) * weights[:, None])  # type: ignore[operator]
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(("ours", "reference"), BOTH)
def test_it_agrees_with_float64_on_random_vectors(ours: object, reference: object) -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(5, 400)) * (rng.random((5, 400)) < 0.6)).astype(np.float32)
    weights = rng.uniform(-0.5, 1.5, 5).astype(np.float32)
    found = ours(torch.from_numpy(vectors), torch.from_numpy(weights), CombineContext())  # type: ignore[operator]
    expected = reference(vectors.astype(np.float64) * weights[:, None])  # type: ignore[operator]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_opposite_experts_cancel_in_emr_and_give_the_positive_one_in_magmax() -> None:
    vector = torch.tensor([1.0, -2.0])
    pair = torch.stack([vector, -vector])
    assert largest_of_elected_sign(pair, torch.ones(2), CombineContext()).tolist() == [0.0, 0.0]
    assert largest_change(pair, torch.ones(2), CombineContext()).tolist() == [1.0, 2.0]


def test_both_are_in_the_registry_and_let_any_mask_stand_before_them() -> None:
    assert method("magmax").combine is largest_change and method("emr").combine is largest_of_elected_sign
    assert not method("magmax").owned_mask and not method("emr").owned_mask
