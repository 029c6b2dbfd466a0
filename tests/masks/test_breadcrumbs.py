"""The mask of Model Breadcrumbs: outliers and noise go, what lies between stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.masks.breadcrumbs import BREADCRUMBS, keep_between, lowest_and_highest
from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.methods.info import Parameters
from tests.masks.leafwise import LeafSpan, masked


def between(density: float, gamma: float, scope: str = "leaf") -> MaskSpec:
    return MaskSpec("breadcrumbs", Parameters(density=density, gamma=gamma, scope=scope))


def kept(numbers: list[float], density: float, gamma: float) -> list[float]:
    return masked(torch.tensor(numbers), [LeafSpan("a", 0, len(numbers))], between(density, gamma)).tolist()


def test_golden_the_largest_goes_and_the_next_two_of_five_stay() -> None:
    assert kept([0.1, -5.0, 2.0, -0.3, 4.0], density=0.4, gamma=0.2) == [0.0, 0.0, 2.0, 0.0, 4.0]


def test_golden_scope_decides_what_is_an_outlier() -> None:
    vector, spans = torch.tensor([1.0, 2.0, -30.0, 40.0]), [LeafSpan("a", 0, 2), LeafSpan("b", 2, 4)]
    assert masked(vector, spans, between(0.5, 0.5, "leaf")).tolist() == [1.0, 0.0, -30.0, 0.0]
    assert masked(vector, spans, between(0.5, 0.5, "model")).tolist() == [1.0, 2.0, 0.0, 0.0]


def test_without_outliers_it_is_the_magnitude_mask() -> None:
    vector = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    spans = [LeafSpan("a", 0, 1000)]
    for density in (0.001, 0.3, 0.999):
        magnitude = MaskSpec("magnitude", Parameters(density=density, scope="leaf"))
        assert torch.equal(masked(vector, spans, between(density, 0.0)), masked(vector, spans, magnitude))


def test_a_gamma_of_less_than_one_element_drops_nothing() -> None:
    assert kept([3.0, 2.0, 1.0], density=1.0, gamma=0.3) == [3.0, 2.0, 1.0]
    assert kept([3.0], density=0.1, gamma=0.99) == [3.0]


def test_some_element_stays_whatever_gamma_and_density_are() -> None:
    assert kept([3.0, 2.0, 1.0], density=0.01, gamma=1.0) == [0.0, 0.0, 1.0]
    assert kept([3.0, 2.0, 1.0], density=1.0, gamma=0.5) == [0.0, 2.0, 1.0]


def test_equal_elements_are_treated_alike() -> None:
    assert kept([1.0, -1.0, 1.0, -1.0], density=0.25, gamma=0.25) == [1.0, -1.0, 1.0, -1.0]
    assert kept([0.0, 0.0, 0.0], density=0.4, gamma=0.4) == [0.0, 0.0, 0.0]


def test_density_one_without_outliers_is_the_identity_and_with_them_is_not() -> None:
    vector = torch.tensor([1.0, -0.0, 3.0, 2.0])
    assert keep_between(vector, MaskContext(Parameters(density=1.0, gamma=0.0))) is vector
    assert not BREADCRUMBS.keeps_all(Parameters(density=1.0, gamma=0.25))
    assert kept([1.0, 4.0, 3.0, 2.0], density=1.0, gamma=0.25) == [1.0, 0.0, 3.0, 2.0]


@given(st.integers(1, 200), st.floats(0.001, 1.0), st.floats(0.0, 1.0))
def test_it_agrees_with_sorting_in_float64(size: int, density: float, gamma: float) -> None:
    vector = torch.randn(size, generator=torch.Generator().manual_seed(size)).double().float()
    order = np.argsort(-np.abs(vector.numpy().astype(np.float64)), kind="stable")
    top = min(size - 1, int(np.floor(gamma * size + 1e-9)))
    stays = order[top : top + max(1, int(np.floor(density * size + 1e-9)))]
    expected = np.zeros(size, dtype=np.float32)
    expected[stays] = vector.numpy()[stays]
    np.testing.assert_array_equal(np.array(kept(vector.tolist(), density, gamma), dtype=np.float32), expected)
    lowest, highest = lowest_and_highest(size, Parameters(density=density, gamma=gamma))
    assert 1 <= highest <= lowest <= size


def test_pieces_of_a_leaf_are_masked_like_the_leaf_and_the_vector_is_not_changed() -> None:
    vector = torch.randn(100_000, generator=torch.Generator().manual_seed(2))
    before, spec = vector.clone(), between(0.1, 0.02)
    whole = masked(vector, [LeafSpan("a", 0, 100_000)], spec)
    thresholds = BREADCRUMBS.thresholds(vector.split(7_777), spec.params)
    pieces = [keep_between(piece, MaskContext(spec.params, thresholds)) for piece in vector.split(3_333)]
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(vector, before)


def test_missing_thresholds_are_an_error() -> None:
    with pytest.raises(ValueError, match="thresholds"):
        keep_between(torch.ones(2), MaskContext(Parameters(density=0.5, gamma=0.0)))
