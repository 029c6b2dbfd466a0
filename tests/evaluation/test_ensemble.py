from __future__ import annotations

import pytest
import torch

from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.ensemble import ensemble
from merging_core.evaluation.evaluator import Evaluator
from tests.evaluation.standins import MLP_CONFIG, make_task, mlp_weights

TASK = make_task("both", {"validation": 60}, seed=5)


def test_an_ensemble_averages_probabilities() -> None:
    members = [mlp_weights(seed) for seed in range(3)]
    report = ensemble(Evaluator(workers=1), MLP_CONFIG, members, [TASK])
    split, forward = TASK.splits["validation"], architecture(MLP_CONFIG).forward
    assert split.labels is not None
    mean = torch.stack([forward(member, TASK.pixels(split.images)).double().softmax(1) for member in members]).mean(0)
    assert report.average == float((mean.argmax(1) == split.labels).double().mean())
    own = mean[torch.arange(60), split.labels]
    assert report.loss == pytest.approx(float(-own.log().mean()), abs=1e-5)


def test_an_ensemble_of_one_is_that_one() -> None:
    evaluator = Evaluator(workers=1)
    alone = evaluator.evaluate(MLP_CONFIG, mlp_weights(1), [TASK])
    same = ensemble(evaluator, MLP_CONFIG, [mlp_weights(1)] * 2, [TASK])
    assert same.average == alone.average and same.loss == pytest.approx(alone.loss, abs=1e-6)


def test_an_ensemble_has_a_member() -> None:
    with pytest.raises(EvaluationError, match="at least one member"):
        ensemble(Evaluator(workers=1), MLP_CONFIG, [], [TASK])
