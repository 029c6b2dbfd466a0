"""The empirical kernel against a Jacobian written out, and its distance where that is known."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.kernels import kernel_distance, kernel_rows
from tests.evaluation.standins import CLIP_CONFIG, MLP_CONFIG, random_weights

LINEAR = {**MLP_CONFIG, "hidden_sizes": []}


def wide(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    return {name: leaf.double() for name, leaf in random_weights(shapes, seed).items()}


def images(n: int) -> torch.Tensor:
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def whole(config: dict[str, Any], seed: int, n: int = 3, still: tuple[str, ...] = ()) -> numpy.ndarray:
    found = architecture(config)
    leaves = wide(dict(found.leaves), seed)
    fixed = {name: leaves.pop(name) for name in still}
    return numpy.stack([kernel_rows(found.forward, leaves, fixed, images(n), i).numpy() for i in range(n)])


@pytest.mark.parametrize(
    ("config", "still"), [(MLP_CONFIG, False), (MLP_CONFIG, True), (CLIP_CONFIG, True)], ids=["all", "some", "clip"]
)
def test_it_is_the_product_of_the_jacobian_with_itself(config: dict[str, Any], still: bool) -> None:
    found = architecture(config)
    leaves = wide(dict(found.leaves), 1)
    fixed = tuple(leaves)[:1] if still else ()
    moving = {name: leaf.requires_grad_() for name, leaf in leaves.items() if name not in fixed}
    out = found.forward(leaves, images(3))
    rows = [
        torch.cat([
            torch.zeros_like(leaf).flatten() if step is None else step.flatten()
            for leaf, step in zip(
                moving.values(),
                torch.autograd.grad(value, list(moving.values()), retain_graph=True, allow_unused=True),
                strict=True,
            )
        ])
        for value in out.flatten()
    ]  # fmt: skip
    jacobian = torch.stack(rows)
    expected = (jacobian @ jacobian.T).reshape(3, -1, 3, out.shape[1]).numpy()
    numpy.testing.assert_allclose(whole(config, 1, still=fixed), expected, rtol=1e-9, atol=1e-9)


def test_the_kernel_of_a_linear_model_does_not_move() -> None:
    base, there = whole(LINEAR, 1), whole(LINEAR, 2)
    numpy.testing.assert_allclose(base, there, rtol=1e-12)
    found = kernel_distance(base, 3.0 * there)
    assert found is not None
    assert found.value == pytest.approx(0.0, abs=1e-12) and found.interval[1] == pytest.approx(0.0, abs=1e-9)


def test_the_kernel_of_another_model_is_elsewhere() -> None:
    found = kernel_distance(whole(MLP_CONFIG, 1), whole(MLP_CONFIG, 2))
    assert found is not None
    assert found.interval[0] <= found.value <= found.interval[1] and 0.01 < found.value < 1.0


def test_the_distance_and_its_jackknife_are_those_of_their_formulas() -> None:
    random = numpy.random.default_rng(3)
    first, second = (half @ half.T for half in random.normal(size=(2, 5, 3)))

    def distance(rows: numpy.ndarray) -> float:
        a, b = first[numpy.ix_(rows, rows)], second[numpy.ix_(rows, rows)]
        return float(1 - numpy.trace(a @ b.T) / (numpy.linalg.norm(a) * numpy.linalg.norm(b)))

    left = [distance(numpy.array([i for i in range(5) if i != gone])) for gone in range(5)]
    half = 2.7764451051977987 * numpy.sqrt(4 / 5 * numpy.sum((left - numpy.mean(left)) ** 2))
    found = kernel_distance(first.reshape(5, 1, 5, 1), second.reshape(5, 1, 5, 1))
    assert found is not None and found.value == pytest.approx(distance(numpy.arange(5)), abs=1e-12)
    assert found.interval == pytest.approx((max(0.0, found.value - half), min(2.0, found.value + half)), abs=1e-9)


def test_without_enough_examples_or_gradients_there_is_no_distance() -> None:
    kernel = numpy.eye(2).reshape(2, 1, 2, 1)
    assert kernel_distance(kernel, kernel) is None
    assert kernel_distance(numpy.zeros((4, 1, 4, 1)), numpy.ones((4, 1, 4, 1))) is None
