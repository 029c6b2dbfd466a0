"""Sign consensus: TIES and DARE TIES."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.masks.info import MaskSpec
from merging_core.methods.contract import CombineContext, gather
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method
from merging_core.methods.ties import TIES, sign_consensus
from tests.masks.leafwise import LeafSpan, masked

MEAN, SUM = Parameters(combine="mean"), Parameters(combine="sum")


def merged(vectors: torch.Tensor, weights: torch.Tensor, params: Parameters) -> torch.Tensor:
    return sign_consensus(vectors, weights, CombineContext(params, gather(TIES, [vectors], weights, params)))


def reference(vectors: np.ndarray, weights: np.ndarray, combine: str) -> np.ndarray:
    """Algorithm 1 of the paper after trimming, one element after the other, in float64."""
    voices = vectors.astype(np.float64) * weights.astype(np.float64)[:, None]
    signs = np.sign(voices.sum(axis=0))
    majority = 1.0 if signs.sum() >= 0 else -1.0
    result = np.zeros(voices.shape[1])
    for i in range(voices.shape[1]):
        elected = signs[i] or majority
        agreeing = [t for t in range(len(voices)) if np.sign(voices[t, i]) == elected]
        if agreeing:
            total = sum(voices[t, i] for t in agreeing)
            result[i] = total if combine == "sum" else total / sum(abs(float(weights[t])) for t in agreeing)
    return result


def test_golden_three_models() -> None:
    # element 0: 3 + 1 − 2 = 2 elects +: mean(3, 1) = 2; element 1: 1 − 4 − 1 = −4 elects −: mean(−4, −1) = −2.5;
    # element 2: nothing survived; element 3: only the third model speaks.
    vectors = torch.tensor([[3.0, 1.0, 0.0, 0.0], [1.0, -4.0, 0.0, 0.0], [-2.0, -1.0, 0.0, 5.0]])
    assert merged(vectors, torch.ones(3), MEAN).tolist() == [2.0, -2.5, 0.0, 5.0]
    assert merged(vectors, torch.ones(3), SUM).tolist() == [4.0, -5.0, 0.0, 5.0]


def test_weights_vote_and_divide_the_mean() -> None:
    # 3·1 − 1·2 = 1 elects +: (3·1)/3 = 1. With weights 1 and 1, −1 elects −: −2.
    vectors = torch.tensor([[1.0], [-2.0]])
    assert merged(vectors, torch.tensor([3.0, 1.0]), MEAN).tolist() == [1.0]
    assert merged(vectors, torch.tensor([1.0, 1.0]), MEAN).tolist() == [-2.0]
    # A negative weight votes for the opposite: −1·1 and 1·(−2) agree, mean(−1, −2).
    assert merged(vectors, torch.tensor([-1.0, 1.0]), MEAN).tolist() == [-1.5]


@pytest.mark.parametrize(
    ("others", "chosen"), [([1.0, 1.0, -1.0], 2.0), ([-1.0, -1.0, 1.0], -2.0), ([1.0, -1.0, 0.0], 2.0)]
)
def test_an_exact_zero_takes_the_majority_sign_of_the_whole_model(others: list[float], chosen: float) -> None:
    vectors = torch.tensor([[2.0, *others], [-2.0, 0.0, 0.0, 0.0]])
    pieces = vectors.split(1, dim=1)
    context = CombineContext(MEAN, gather(TIES, pieces, torch.ones(2), MEAN))
    assert sign_consensus(pieces[0], torch.ones(2), context).item() == chosen


@pytest.mark.parametrize("combine", ["mean", "sum"])
@given(data=st.data())
def test_it_agrees_with_float64_on_small_whole_numbers(combine: str, data: st.DataObject) -> None:
    # Small whole numbers add up exactly, so ties and zeros happen often and both sides see the same signs.
    count, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    numbers = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    vectors = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)), dtype=np.float32)
    weights = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=count, max_size=count)), dtype=np.float32)
    found = merged(torch.from_numpy(vectors), torch.from_numpy(weights), Parameters(combine=combine))
    np.testing.assert_allclose(found.numpy(), reference(vectors, weights, combine), rtol=1e-6)


@pytest.mark.parametrize("combine", ["mean", "sum"])
@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_float64_on_random_vectors(combine: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(5, 400)) * (rng.random((5, 400)) < 0.3)).astype(np.float32)
    weights = rng.uniform(-0.5, 1.5, 5).astype(np.float32)
    found = merged(torch.from_numpy(vectors), torch.from_numpy(weights), Parameters(combine=combine))
    np.testing.assert_allclose(found.numpy(), reference(vectors, weights, combine), atol=3e-6)


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_golden_equal_votes_elect_the_sign_and_weights_scale_what_agreed(combine: str) -> None:
    vectors = torch.tensor([[3.0, -1.0, 2.0], [-1.0, -1.0, 1.0], [-1.0, 4.0, 0.0]])
    weights = torch.tensor([0.5, -2.0, 1.0])
    found = merged(vectors, weights, Parameters(combine=combine, vote="equal"))
    sums = [1.5, 4.0, -1.0]
    shares = [0.5, 1.0, 2.5]
    expected = sums if combine == "sum" else [total / share for total, share in zip(sums, shares, strict=True)]
    assert found.tolist() == pytest.approx(expected)


def test_one_model_alone_is_its_own_consensus() -> None:
    vector = torch.tensor([[0.5, -0.25, 0.0, 3.0]])
    assert merged(vector, torch.ones(1), MEAN).tolist() == vector[0].tolist()
    assert merged(vector, torch.tensor([-2.0]), MEAN).tolist() == [-0.5, 0.25, 0.0, -3.0]


def test_parallel_vectors_are_averaged() -> None:
    vector = torch.tensor([1.0, -2.0, 4.0])
    found = merged(torch.stack([vector, 3 * vector]), torch.ones(2), MEAN)
    assert found.tolist() == (2 * vector).tolist()


@pytest.mark.parametrize("name", ["ties", "dare_ties"])
def test_the_method_is_its_mask_and_then_the_consensus(name: str) -> None:
    info = method(name)
    params = info.defaults()
    spec = MaskSpec(info.owned_mask, Parameters({k: v for k, v in params.items() if k in ("density", "scope")}))
    rng = np.random.default_rng(9)
    vectors = torch.from_numpy(rng.normal(size=(3, 3000)).astype(np.float32))
    spans = [LeafSpan("a", 0, 1000), LeafSpan("b", 1000, 3000)]
    kept = torch.stack([masked(vector, spans, spec, seed=5, content=f"{i}") for i, vector in enumerate(vectors)])
    if name == "ties":
        for vector, found in zip(vectors.numpy(), kept.numpy(), strict=True):
            threshold = np.sort(np.abs(vector))[-600]
            np.testing.assert_array_equal(found, np.where(np.abs(vector) >= threshold, vector, 0))
    statistics = gather(info, [kept], torch.ones(3), params)
    found = info.combine(kept, torch.ones(3), CombineContext(params, statistics))
    np.testing.assert_allclose(found.numpy(), reference(kept.numpy(), np.ones(3), "mean"), atol=2e-6)


def test_changes_that_cancel_count_as_positive_where_that_is_asked_for() -> None:
    vectors = torch.tensor([[1.0, -2.0, -1.0], [-1.0, -2.0, -1.0]])
    majority = gather(TIES, [vectors], torch.ones(2), Parameters())
    positive = gather(TIES, [vectors], torch.ones(2), Parameters(cancelled="positive"))
    assert positive == {}
    assert sign_consensus(vectors, torch.ones(2), CombineContext(statistics=majority)).tolist() == [-1.0, -2.0, -1.0]
    assert sign_consensus(vectors, torch.ones(2), CombineContext(statistics=positive)).tolist() == [1.0, -2.0, -1.0]
