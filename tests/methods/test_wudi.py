"""WUDI: the merge that disturbs each expert least where its own task vector is active."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.methods.registry import method
from merging_core.methods.wudi import STEP_SIZE
from tests.methods.whole import combine, drawn

WUDI = method("wudi")


def loss(merged: torch.Tensor, leaves: torch.Tensor) -> float:
    wide, matrices = merged.double(), leaves.double()
    return float(sum(((wide - leaf) @ leaf.T).square().sum() / leaf.square().sum() for leaf in matrices))


def test_golden_experts_on_different_inputs_keep_their_own() -> None:
    # Expert 1 responds to input 1, expert 2 to input 2: the exact least is each column from its own expert.
    leaves = torch.tensor([[[2.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, -1.0]]])
    torch.testing.assert_close(combine(WUDI, leaves, solver="exact"), torch.tensor([[2.0, 3.0], [1.0, -1.0]]))


def test_golden_two_experts_on_one_input_meet_in_the_weighted_middle() -> None:
    # Both respond to input 1 alone, with a and b: Σ (m − t)²t²/t² is least at their mean.
    leaves = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[4.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(combine(WUDI, leaves, solver="exact"), torch.tensor([[3.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (9, 9)])
def test_the_steps_are_those_of_torch_in_float64(shape: tuple[int, int]) -> None:
    leaves = drawn(3, *shape).double()
    merged = torch.nn.Parameter(leaves.sum(0))
    optimiser = torch.optim.Adam([merged], lr=STEP_SIZE)
    for _ in range(40):
        optimiser.zero_grad()
        pieces = [((merged - leaf) @ leaf.T).square().sum() / leaf.square().sum() for leaf in leaves]
        torch.stack(pieces).sum().backward()
        optimiser.step()
    found = combine(WUDI, leaves.float(), steps=40)
    torch.testing.assert_close(found, merged.detach().float(), rtol=0, atol=2e-6)
    assert float((found - leaves.sum(0).float()).abs().max()) == pytest.approx(40 * STEP_SIZE, rel=0.1)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (9, 9)])
def test_the_exact_least_agrees_with_least_squares_in_float64(shape: tuple[int, int]) -> None:
    leaves, weights = drawn(2, *shape), (1.0, -0.5)
    matrices = [leaf.double().numpy() for leaf in leaves]
    inputs = np.hstack([matrix.T / np.linalg.norm(matrix) for matrix in matrices])
    outputs = np.hstack(
        [w * matrix @ matrix.T / np.linalg.norm(matrix) for w, matrix in zip(weights, matrices, strict=True)]
    )
    expected = np.linalg.lstsq(inputs.T, outputs.T, rcond=1e-8)[0].T
    np.testing.assert_allclose(combine(WUDI, leaves, *weights, solver="exact").numpy(), expected, rtol=0, atol=5e-6)


def test_it_disturbs_the_experts_less_than_their_sum_does() -> None:
    # Task vectors as small as fine-tuning makes them, so that steps of 1e-5 go somewhere.
    leaves = drawn(4, 12, 16) * 2e-3
    total, steps, exact = leaves.sum(0), combine(WUDI, leaves), combine(WUDI, leaves, solver="exact")
    assert loss(exact, leaves) < loss(steps, leaves) < 0.5 * loss(total, leaves)


def test_larger_steps_bring_large_task_vectors_to_the_exact_least() -> None:
    leaves = drawn(4, 12, 16) * 2e-2
    exact = combine(WUDI, leaves, solver="exact")
    small, large = combine(WUDI, leaves), combine(WUDI, leaves, step_size=1e-3)
    assert loss(large, leaves) - loss(exact, leaves) < 0.05 * (loss(small, leaves) - loss(exact, leaves))


def test_dividing_by_the_norm_lets_the_larger_expert_count_for_more() -> None:
    # On one input, b = 2a: by the square the mean of both counts a and b alike, by the norm b twice as much.
    leaves = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[4.0, 0.0], [0.0, 0.0]]])
    found = combine(WUDI, leaves, solver="exact", divide_by="norm")
    torch.testing.assert_close(found, torch.tensor([[10.0 / 3.0, 0.0], [0.0, 0.0]]))


def test_no_matrix_nearby_disturbs_less_than_the_exact_one() -> None:
    leaves = drawn(3, 5, 8)
    exact = combine(WUDI, leaves, solver="exact")
    generator = torch.Generator().manual_seed(4)
    for _ in range(20):
        assert loss(exact, leaves) <= loss(exact + 1e-2 * torch.randn(5, 8, generator=generator), leaves)


def test_an_expert_alone_is_itself_and_a_zero_one_has_no_say() -> None:
    leaf = drawn(1, 5, 8)
    torch.testing.assert_close(combine(WUDI, leaf, solver="exact"), leaf[0], rtol=1e-5, atol=1e-6)
    beside = torch.cat([leaf, torch.zeros(1, 5, 8)])
    assert torch.equal(combine(WUDI, beside, solver="exact"), combine(WUDI, leaf, solver="exact"))
    assert torch.equal(combine(WUDI, beside, steps=3), combine(WUDI, leaf, steps=3))
