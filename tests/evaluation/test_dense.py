"""The dense layer: what torch's own gives, whatever comes in."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from merging_core.evaluation import dense as room
from merging_core.evaluation.dense import dense


@pytest.mark.parametrize("shape", [(48, 17, 144), (1, 5), (3, 1), (2, 0, 4), (5, 700)])
@pytest.mark.parametrize("outside", [1, 10, 257])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_product_in_float64_within_rounding(shape: tuple[int, ...], outside: int, bias: bool) -> None:
    made = torch.Generator().manual_seed(7)
    values = torch.randn(shape, generator=made)
    weight = torch.randn(outside, shape[-1], generator=made)
    added = torch.randn(outside, generator=made) if bias else None
    wanted = linear(values.double(), weight.double(), None if added is None else added.double())
    with torch.inference_mode():
        found = dense(values, weight, added)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-5 * max(1.0, shape[-1] ** 0.5))


def test_rows_that_do_not_lie_side_by_side_are_read_right() -> None:
    whole = torch.randn(6, 17, 8)
    weight = torch.randn(4, 8)
    with torch.inference_mode():
        assert torch.allclose(dense(whole[:, :1], weight), linear(whole[:, :1], weight), atol=1e-5)
        assert torch.allclose(dense(whole[::2], weight.t().contiguous().t()), linear(whole[::2], weight), atol=1e-5)


def test_what_is_not_finite_stays_so() -> None:
    values = torch.tensor([[float("inf"), 1.0], [float("nan"), 1.0], [1.0, 1.0]])
    with torch.inference_mode():
        found = dense(values, torch.ones(3, 2))
    assert torch.isinf(found[0]).all() and torch.isnan(found[1]).all() and found[2].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_dtypes_and_gradients_go_torch_s_own_way(kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_has_wide_products", lambda: True)
    weight = torch.ones(2, 3, dtype=kind)
    assert dense(torch.ones(1, 3, dtype=kind), weight).dtype == kind
    learned = torch.ones(2, 3, requires_grad=True)
    dense(torch.ones(1, 3), learned).sum().backward()
    assert learned.grad is not None and learned.grad.tolist() == [[1.0] * 3] * 2


def test_a_processor_without_wide_vectors_takes_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_has_wide_products", lambda: False)
    values, weight = torch.randn(5, 7), torch.randn(3, 7)
    with torch.inference_mode():
        assert torch.equal(dense(values, weight), linear(values, weight))
