"""Many weights at once: the same scores as one after the other, and only where that is known to be faster."""

from __future__ import annotations

import numpy
import pytest
import torch

from merging_core.errors import EvaluationError
from merging_core.evaluation import multilayer_perceptron
from merging_core.evaluation.evaluator import Evaluator, parts_of
from merging_core.evaluation.multilayer_perceptron import PerceptronShape
from merging_core.evaluation.stacked import scores_of_many
from tests.evaluation.standins import MLP_CONFIG, make_task, mlp_weights

SIZES = {"train": 30, "validation": 47}


def test_many_weights_have_the_scores_that_each_has_alone() -> None:
    evaluator = Evaluator(workers=2)
    parts = [
        part
        for index in range(2)
        for part in parts_of([make_task(f"t{index}", SIZES, seed=index)], "validation", "full")
    ]
    weights = [mlp_weights(seed) for seed in range(5)]
    assert evaluator.stacks(MLP_CONFIG, parts)
    together = scores_of_many(evaluator, MLP_CONFIG, weights, parts)
    assert len(together) == 5
    for one, row in zip(weights, together, strict=True):
        for score, alone in zip(row, evaluator.scores(MLP_CONFIG, one, parts), strict=True):
            assert (score.task, score.split, score.n, score.of) == (alone.task, alone.split, alone.n, alone.of)
            numpy.testing.assert_allclose(score.losses, alone.losses, rtol=1e-4, atol=1e-5)
            assert numpy.array_equal(score.correct, alone.correct)
            assert numpy.array_equal(score.examples, alone.examples)


def test_stacked_layers_agree_with_float64() -> None:
    shape = PerceptronShape((6, 5, 4, 3))
    leaves = multilayer_perceptron.leaves(shape)
    generator = torch.Generator().manual_seed(1)
    stacked = {name: torch.randn(7, *size, generator=generator) for name, size in leaves.items()}
    inputs = torch.randn(11, 6, generator=generator)
    found = multilayer_perceptron.logits_of_many(shape, stacked, inputs)
    for index in range(7):
        values = inputs.double().numpy()
        for layer in range(3):
            weight, bias = (stacked[f"layers.{layer}.{part}"][index].double().numpy() for part in ("weight", "bias"))
            values = values @ weight.T + bias
            values = values.clip(0) if layer < 2 else values
        numpy.testing.assert_allclose(found[:, index].numpy(), values, rtol=1e-4, atol=1e-5)


def test_a_linearised_model_is_answered_alone() -> None:
    evaluator = Evaluator(workers=1)
    parts = parts_of([make_task("t", SIZES)], "validation", "preview")
    assert not evaluator.linearised(mlp_weights(0)).stacks(MLP_CONFIG, parts)


def test_what_does_not_fit_is_said_as_for_one() -> None:
    evaluator = Evaluator(workers=1)
    parts = parts_of([make_task("t", SIZES)], "validation", "preview")
    wrong = {**mlp_weights(0), "layers.0.bias": torch.zeros(3)}
    with pytest.raises(EvaluationError, match=r"layers\.0\.bias"):
        scores_of_many(evaluator, MLP_CONFIG, [mlp_weights(1), wrong], parts)
