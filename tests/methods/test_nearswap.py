"""NearSwap, against the interpolation by which it is known."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.contract import CombineContext
from merging_core.methods.nearswap import nearswap
from merging_core.methods.registry import method


def moved(base: np.ndarray, other: np.ndarray, t: float) -> np.ndarray:
    """(1 − s)·base + s·other with s = min(1, t/|base − other|), one number after the other, in float64."""
    result = base.astype(np.float64)
    for i, (a, b) in enumerate(zip(base.astype(np.float64), other.astype(np.float64), strict=True)):
        share = 1.0 if a == b else min(1.0, t / abs(a - b))
        result[i] = (1 - share) * a + share * b
    return result


def step(vector: list[float], t: float) -> list[float]:
    params = method("nearswap").defaults().changed(t=t)
    return nearswap(torch.tensor([vector]), torch.ones(1), CombineContext(params)).tolist()


def test_golden_near_numbers_are_taken_and_far_ones_move_one_step() -> None:
    assert step([0.25, -0.5, 3.0, 0.0], t=0.5) == [0.25, -0.5, 0.5, 0.0]


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=20), st.floats(0, 3), st.integers(0, 1000))
def test_it_is_the_interpolation_in_float64(changes: list[float], t: float, seed: int) -> None:
    base = np.random.default_rng(seed).normal(size=len(changes)).astype(np.float32)
    other = base + np.array(changes, dtype=np.float32)
    found = base.astype(np.float64) + np.array(step((other - base).tolist(), t))
    np.testing.assert_allclose(found, moved(base, other, t), atol=2e-6)


def test_a_step_of_zero_is_the_base_and_a_long_one_the_other_model() -> None:
    assert step([1.0, -2.0, 0.0], t=0.0) == [0.0, 0.0, 0.0]
    assert step([1.0, -2.0, 0.0], t=1e6) == [1.0, -2.0, 0.0]
