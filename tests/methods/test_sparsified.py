"""Model Breadcrumbs and DELLA: each is its mask and a combination that exists."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask
from merging_core.methods.contract import CombineContext, gather
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method
from tests.masks.leafwise import LeafSpan, masked

SPANS = [LeafSpan("a", 0, 1000, (20, 50)), LeafSpan("b", 1000, 1007, (7,)), LeafSpan("c", 1007, 1008, ())]


def merged(name: str, vectors: torch.Tensor, spans: list[LeafSpan], **changes: float | str) -> torch.Tensor:
    info = method(name)
    params = info.defaults().changed(**changes)
    names = [parameter.name for parameter in mask(info.owned_mask).parameters]
    spec = MaskSpec(info.owned_mask, Parameters({key: params[key] for key in names}))
    kept = torch.stack([masked(vector, spans, spec, seed=5, content=f"{t}") for t, vector in enumerate(vectors)])
    weights = torch.ones(len(vectors))
    return info.combine(kept, weights, CombineContext(params, gather(info, [kept], weights, params)))


def test_golden_breadcrumbs_of_two_experts() -> None:
    # density 0.5, gamma 0.25 of four: of (8, 1, 4, 2) stay 4 and 2; of (1, 9, −3, 6) stay 6 and −3.
    vectors = torch.tensor([[8.0, 1.0, 4.0, 2.0], [1.0, 9.0, -3.0, 6.0]])
    spans = [LeafSpan("a", 0, 4)]
    assert merged("breadcrumbs", vectors, spans, density=0.5, gamma=0.25).tolist() == [0.0, 0.0, 1.0, 8.0]
    assert merged("breadcrumbs_ties", vectors, spans, density=0.5, gamma=0.25).tolist() == [0.0, 0.0, 4.0, 4.0]


@pytest.mark.parametrize("name", ["breadcrumbs", "breadcrumbs_ties"])
def test_breadcrumbs_agrees_with_float64_sorting(name: str) -> None:
    vectors = torch.randn(3, 1008, generator=torch.Generator().manual_seed(1))
    found = merged(name, vectors, SPANS, density=0.2, gamma=0.03)
    kept = np.zeros((3, 1008))
    for t, vector in enumerate(vectors.numpy().astype(np.float64)):
        for span in SPANS:
            leaf = vector[span.start : span.stop]
            top = min(leaf.size - 1, int(0.03 * leaf.size + 1e-9))
            stays = np.argsort(-np.abs(leaf))[top : top + max(1, int(0.2 * leaf.size + 1e-9))]
            kept[t, span.start + stays] = leaf[stays]
    sign = np.sign(kept.sum(0))
    agree = (np.sign(kept) == sign) & (kept != 0)
    mean = (kept * agree).sum(0) / np.maximum(agree.sum(0), 1)
    np.testing.assert_allclose(found.numpy(), kept.sum(0) if name == "breadcrumbs" else mean, atol=1e-6)


def test_della_without_spread_is_dare() -> None:
    vectors = torch.randn(3, 1008, generator=torch.Generator().manual_seed(2))
    assert torch.equal(merged("della_linear", vectors, SPANS, epsilon=0.0), merged("dare_linear", vectors, SPANS))
    assert torch.equal(merged("della", vectors, SPANS, epsilon=0.0), merged("dare_ties", vectors, SPANS))


@pytest.mark.parametrize(("name", "plain"), [("breadcrumbs", {"gamma": 0.0}), ("della_linear", {})])
def test_density_one_is_the_plain_sum(name: str, plain: dict[str, float]) -> None:
    vectors = torch.randn(3, 1008, generator=torch.Generator().manual_seed(3))
    found = merged(name, vectors, SPANS, density=1.0, **plain)
    assert torch.equal(found, vectors[0] + vectors[1] + vectors[2])


def test_della_keeps_more_of_the_sum_of_magnitudes_than_chance_alone() -> None:
    vector = torch.randn(1, 1000, generator=torch.Generator().manual_seed(4))
    spans = [LeafSpan("a", 0, 1000, (1, 1000))]
    by_rank = merged("della_linear", vector, spans, epsilon=1.0, rescale="none")
    by_chance = merged("della_linear", vector, spans, epsilon=0.0, rescale="none")
    assert float(by_rank.abs().sum()) > 1.2 * float(by_chance.abs().sum())
