"""RegMean: the layer that answers as all experts do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters
from merging_core.methods.measured import Measured
from merging_core.methods.registry import method
from merging_core.methods.regmean import REGMEAN, regression_mean


def context(*grams: torch.Tensor, turned: bool = False, **params: float) -> CombineContext:
    return CombineContext(Parameters({**REGMEAN.defaults(), **params}), measured=Measured(grams, turned=turned))


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_golden_numbers_worked_by_hand() -> None:
    # Two inputs that the experts read 3 and 1, and 0 and 2 times as strongly: (3·1 + 1·5)/4 and (0·1 + 2·5)/2.
    grams = torch.diag(torch.tensor([3.0, 0.0])), torch.diag(torch.tensor([1.0, 2.0]))
    leaves = torch.tensor([[[1.0, 1.0]], [[5.0, 5.0]]])
    assert method("regmean") is REGMEAN
    assert regression_mean(leaves, torch.ones(2), context(*grams)).tolist() == [[2.0, 5.0]]


def test_least_squares_on_all_inputs_are_recovered_exactly() -> None:
    inputs = [drawn(seed, 40, 6).double() for seed in (1, 2, 3)]
    layers = [drawn(seed, 5, 6) for seed in (4, 5, 6)]
    read = torch.cat(inputs).numpy()
    answers = torch.cat([x @ layer.double().T for x, layer in zip(inputs, layers, strict=True)]).numpy()
    expected = np.linalg.lstsq(read, answers, rcond=None)[0].T
    grams = [(x.T @ x / len(x)).float() for x in inputs]
    found = regression_mean(torch.stack(layers), torch.ones(3), context(*grams, off_diagonal=1.0))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("params", [{}, {"off_diagonal": 0.3}, {"ridge": 0.2}, {"off_diagonal": 0.0}])
def test_the_merge_is_the_float64_one_either_way_round(params: dict[str, float]) -> None:
    layers, weights = drawn(0, 2, 7, 4), torch.tensor([1.0, 0.25])
    grams = [x.T @ x / len(x) for x in (drawn(1, 30, 4), drawn(2, 30, 4))]
    off = params.get("off_diagonal", 0.9)
    wide = [gram.double().numpy() for gram in grams]
    wide = [off * gram + (1 - off) * np.diag(np.diag(gram)) for gram in wide]
    left = sum(w * gram for w, gram in zip(weights.tolist(), wide, strict=True))
    right = sum(
        w * gram @ layer.double().numpy().T for w, gram, layer in zip(weights.tolist(), wide, layers, strict=True)
    )
    average = (layers[0] + layers[1] * 0.25).double().numpy() / 1.25
    ridge = params.get("ridge", 0.0) * np.diag(np.diag(left))
    expected = np.linalg.solve(left + ridge, right + ridge @ average.T).T
    found = regression_mean(layers, weights, context(*grams, **params))
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-6, atol=2e-6)
    turned = regression_mean(layers.transpose(1, 2).contiguous(), weights, context(*grams, turned=True, **params))
    torch.testing.assert_close(turned.T, found)


def test_directions_without_inputs_stay_at_the_average() -> None:
    layers = drawn(0, 2, 3, 4)
    read = drawn(1, 2, 4)  # two inputs span two of four directions
    gram = read.T @ read
    found = regression_mean(layers, torch.ones(2), context(gram, gram, off_diagonal=1.0))
    torch.testing.assert_close(found, layers.mean(0))
    one = regression_mean(layers, torch.ones(2), context(gram, torch.zeros(4, 4), off_diagonal=1.0))
    torch.testing.assert_close(one @ read.T, layers[0] @ read.T, rtol=1e-4, atol=1e-4)
    nothing = regression_mean(layers, torch.ones(2), context(torch.zeros(4, 4), torch.zeros(4, 4)))
    torch.testing.assert_close(nothing, layers.mean(0))


def test_inputs_that_are_nearly_alike_do_not_blow_up() -> None:
    layers, read = drawn(0, 2, 3, 4), drawn(1, 50, 4)
    read[:, 1] = read[:, 0] * (1 + 1e-8)
    grams = [(x.double().T @ x.double() / len(x)).float() for x in (read, read * 1e-6)]
    found = regression_mean(layers, torch.ones(2), context(*grams, off_diagonal=1.0))
    assert float(found.abs().max()) < 10.0


def test_equal_experts_give_the_expert_and_a_missing_matrix_the_average() -> None:
    layer = drawn(0, 1, 5, 3)
    grams = [x.T @ x for x in (drawn(1, 9, 3), drawn(2, 9, 3))]
    assert torch.equal(regression_mean(layer.repeat(2, 1, 1), torch.ones(2), context(*grams)), layer[0])
    layers = drawn(3, 2, 5, 3)
    lacking = context(grams[0], torch.empty(0, 0))
    torch.testing.assert_close(regression_mean(layers, torch.ones(2), lacking), layers.mean(0))
    assert torch.equal(regression_mean(layers, torch.tensor([2.0, 0.0]), lacking), layers[0])


def test_no_argument_is_changed() -> None:
    layers, grams = drawn(0, 2, 5, 3), [x.T @ x for x in (drawn(1, 9, 3), drawn(2, 9, 3))]
    before = [leaf.clone() for leaf in (layers, *grams)]
    regression_mean(layers, torch.ones(2), context(*grams))
    assert all(torch.equal(old, new) for old, new in zip(before, (layers, *grams), strict=True))
