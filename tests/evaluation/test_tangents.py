"""Tangents by the evaluator: what it says of the linearised model, from one pass along each vector."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.evaluator import Evaluator, parts_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.language_model import TextTask, Windows
from merging_core.evaluation.tangents import tangent_logits
from merging_core.evaluation.tasks import Task
from merging_core.evaluation.token_rows import packed
from tests.evaluation.standins import CLIP_CONFIG, MLP_CONFIG, make_task, random_weights

MODELS: dict[str, tuple[dict[str, Any], int | None]] = {"clip": (CLIP_CONFIG, 12), "perceptron": (MLP_CONFIG, None)}


@pytest.mark.parametrize("name", MODELS)
def test_the_logits_at_any_point_are_those_of_the_linearised_model(name: str) -> None:
    config, width = MODELS[name]
    shapes = dict(architecture(config).leaves)
    base, first, second = (random_weights(shapes, seed) for seed in range(3))
    task = make_task("one", {"validation": 25}, width=width)
    parts, evaluator = parts_of([task], "validation", "full"), Evaluator("cpu", batch=10)
    along = [evaluator.tangents(config, base, vector, parts)[0] for vector in (first, second)]
    for shares in ((0.0, 0.0), (1.0, 0.0), (-0.7, 2.5)):
        point = {leaf: base[leaf] + shares[0] * first[leaf] + shares[1] * second[leaf] for leaf in base}
        expected = evaluator.linearised(base).answers(config, point, parts)[0]
        torch.testing.assert_close(tangent_logits(along, shares), expected.logits, rtol=1e-4, atol=1e-4)
        assert torch.equal(along[0].labels, expected.labels)


def test_a_head_of_the_task_itself_and_a_leaf_without_a_step_stand_still() -> None:
    shapes = dict(architecture(MLP_CONFIG).leaves)
    base, vector = random_weights(shapes, 0), random_weights(shapes, 1)
    head = {name: leaf for name, leaf in random_weights(shapes, 2).items() if name.startswith("layers.1")}
    plain = make_task("one", {"validation": 12})
    task = Task(**{**vars(plain), "head": OwnHead(head)})
    (found,) = Evaluator("cpu").tangents(MLP_CONFIG, base, vector, parts_of([task], "validation", "full"))
    body = {name: step for name, step in vector.items() if name.startswith("layers.0")}
    (still,) = Evaluator("cpu").tangents(MLP_CONFIG, {**base, **head}, body, parts_of([plain], "validation", "full"))
    assert torch.equal(found.value, still.value) and torch.equal(found.slope, still.slope)
    assert bool(found.slope.any())


def test_a_text_without_classes_has_no_tangents() -> None:
    windows = Windows(packed([[1, 2, 3]], [[0, 1, 1]]), torch.tensor([2, 3]), (2,))
    task = TextTask("text", "Text", "", {"validation": windows})
    with pytest.raises(EvaluationError, match="has classes"):
        Evaluator("cpu").tangents({}, {}, {}, parts_of([task], "validation", "full"))
