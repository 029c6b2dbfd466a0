"""Fisher information against closed forms, and against gradients taken one by one in float64."""

from __future__ import annotations

import pytest
import torch

from merging_core.evaluation.multilayer_perceptron import PerceptronShape, logits
from merging_core.learning.batches import Source, sources
from merging_core.learning.measuring import fisher as room
from merging_core.learning.measuring.fisher import classes_at_once, fisher_sums
from tests.learning.world import CONFIG, World

Leaves = dict[str, torch.Tensor]


def drawn(widths: tuple[int, ...]) -> Leaves:
    generator = torch.Generator().manual_seed(2)
    found = {}
    for index, (inside, outside) in enumerate(zip(widths, widths[1:], strict=False)):
        found[f"layers.{index}.weight"] = torch.randn(outside, inside, generator=generator)
        found[f"layers.{index}.bias"] = torch.randn(outside, generator=generator)
    return found


def source_of(small: World, leaves: Leaves, hidden: list[int]) -> Source:
    config = {**CONFIG, "hidden_sizes": hidden}
    return next(iter(sources(config, leaves, small.tasks[:1], "train", "entropy", torch.device("cpu"))))


def one_by_one64(leaves: Leaves, inputs: torch.Tensor, widths: tuple[int, ...]) -> Leaves:
    """Σ over examples and classes of p_c (∂ log p_c)², each gradient by itself in float64."""
    wide = {name: leaf.double().requires_grad_() for name, leaf in leaves.items()}
    sums = {name: torch.zeros_like(leaf) for name, leaf in wide.items()}
    for one in inputs.double():
        logs = torch.log_softmax(logits(PerceptronShape(widths), wide, one[None]), dim=-1)[0]
        for log in logs:
            gradients = torch.autograd.grad(log, list(wide.values()), retain_graph=True)
            for name, gradient in zip(wide, gradients, strict=True):
                sums[name] += log.exp().item() * gradient**2
    return {name: value.detach() for name, value in sums.items()}


def test_softmax_regression_has_its_closed_form(small: World) -> None:
    leaves = drawn((16, 3))
    source = source_of(small, leaves, [])
    rows = source.inputs[:7]
    found = fisher_sums(source, leaves, rows, "exact")
    inputs = source.task.prepared(rows).flatten(1).double()
    p = torch.softmax(inputs @ leaves["layers.0.weight"].double().T + leaves["layers.0.bias"].double(), dim=-1)
    spread = p * (1 - p)
    torch.testing.assert_close(found["layers.0.weight"], spread.T @ inputs**2, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(found["layers.0.bias"], spread.sum(0), rtol=1e-5, atol=1e-8)
    assert found["layers.0.weight"].dtype == torch.float64


@pytest.mark.parametrize("at_once", [1 << 26, 200])
def test_a_network_has_the_fisher_information_of_gradients_taken_one_by_one(
    at_once: int, small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "AT_ONCE", at_once)
    leaves = drawn((16, 6, 3))
    assert classes_at_once(sum(leaf.numel() for leaf in leaves.values()), 3) == (3 if at_once > 1000 else 1)
    source = source_of(small, leaves, [6])
    rows = source.inputs[:5]
    found = fisher_sums(source, leaves, rows, "exact")
    expected = one_by_one64(leaves, source.task.prepared(rows), (16, 6, 3))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-9)


def test_a_whole_batch_is_one_gradient_squared_and_not_the_fisher_information(small: World) -> None:
    leaves = drawn((16, 6, 3))
    source = source_of(small, leaves, [6])
    rows = source.inputs[:5]
    found = fisher_sums(source, leaves, rows, "batch")
    wide = {name: leaf.double().requires_grad_() for name, leaf in leaves.items()}
    inputs = source.task.prepared(rows).double()
    logs = torch.log_softmax(logits(PerceptronShape((16, 6, 3)), wide, inputs), dim=-1)
    gradients = torch.autograd.grad((logs.detach().exp().sqrt() * logs).sum(), list(wide.values()))
    exact = fisher_sums(source, leaves, rows, "exact")
    for name, gradient in zip(wide, gradients, strict=True):
        torch.testing.assert_close(found[name], gradient**2, rtol=1e-4, atol=1e-9)
        assert not torch.allclose(found[name], exact[name], rtol=1e-2)


def test_a_sure_answer_has_no_fisher_information_and_nothing_is_not_finite(small: World) -> None:
    leaves = {name: leaf * 1e4 for name, leaf in drawn((16, 3)).items()}
    source = source_of(small, leaves, [])
    found = fisher_sums(source, leaves, source.inputs[:3], "exact")
    assert all(torch.isfinite(value).all() and value.max() < 1e-3 for value in found.values())
