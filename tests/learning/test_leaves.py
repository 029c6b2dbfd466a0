"""The derivative of merged weights by what is learned, against finite differences in float64."""

from __future__ import annotations

import torch

from merging_core.learning.leaves import merged_leaf
from merging_core.methods.sums import weighted_sum


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_gradients_are_those_of_finite_differences() -> None:
    base, vectors = drawn(5), [drawn(5) * (index + 1) for index in range(3)]
    coefficients, mask = drawn(3).requires_grad_(), drawn(5).abs().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda c, m: merged_leaf(c, m, base, vectors, 0.3), (coefficients, mask), eps=1e-6, atol=1e-8
    )
    assert torch.autograd.gradcheck(lambda c: merged_leaf(c, None, base, vectors), (coefficients,))


def test_a_mask_that_is_not_learned_gets_no_gradient() -> None:
    coefficients, mask = drawn(2).requires_grad_(), drawn(4)
    merged_leaf(coefficients, mask, drawn(4), [drawn(4), -drawn(4)]).sum().backward()
    assert coefficients.grad is not None
    assert mask.grad is None


def test_the_weights_are_those_of_task_arithmetic_bit_for_bit() -> None:
    base, vectors, weights = (
        drawn(1000).float(),
        [drawn(1000 + index).float()[:1000] for index in range(3)],
        torch.tensor([0.3, -0.1, 0.7]),
    )
    ours = merged_leaf(weights, None, base, vectors, 0.5)
    assert torch.equal(ours, weighted_sum(torch.stack(vectors), weights).mul(0.5).add(base))


def test_no_task_vector_is_copied_for_the_gradient() -> None:
    coefficients = torch.ones(2, requires_grad=True)
    vectors = [torch.ones(8), torch.ones(8)]
    result = merged_leaf(coefficients, None, torch.zeros(8), vectors)
    held = result.grad_fn
    assert [vector.data_ptr() for vector in held.vectors] == [vector.data_ptr() for vector in vectors]  # type: ignore[union-attr]
