"""Robust accuracy, against what it must be of a linear model of two classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy
import pytest
import torch

from merging_core.errors import EvaluationError
from merging_core.evaluation.evaluator import Evaluator, Part, parts_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tasks import Split, Task
from merging_core.learning.attacks import Attack, Norm
from merging_core.learning.robustness import pixels_of, robust_report, robust_steps, taken

CONFIG: dict[str, Any] = {
    "model_type": "basin_mlp", "input_size": 16, "hidden_sizes": [], "num_labels": 2, "activation": "relu",
}  # fmt: skip
GENERATOR = torch.Generator().manual_seed(11)
WEIGHT = torch.randn(2, 16, generator=GENERATOR)
LEAVES = {"layers.0.weight": WEIGHT, "layers.0.bias": torch.tensor([0.1, -0.1])}


@pytest.fixture
def pictures() -> Task:
    images = torch.randint(90, 166, (120, 1, 4, 4), generator=GENERATOR, dtype=torch.uint8)
    labels = torch.randint(0, 2, (120,), generator=GENERATOR)
    split = Split(images, labels, "pictures")
    return Task(
        "small/pictures", "Pictures", "Noise.", ("a", "b"), 4, 1, 0.5, 0.25, OwnHead(), {"validation": split},
        "Apache-2.0", "drawn",
    )  # fmt: skip


def margins(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each picture the logit of its label minus the other's, and its slope by pixels in [0, 1]."""
    split = task.splits["validation"]
    assert split.labels is not None
    order = torch.tensor(split.order)
    rows, labels = split.images[order].double().flatten(1) / 255, split.labels[order]
    logits = (rows - 0.5) / 0.25 @ WEIGHT.double().T + LEAVES["layers.0.bias"].double()
    slopes = (WEIGHT[labels] - WEIGHT[1 - labels]).double() / 0.25
    places = torch.arange(len(labels))
    return logits[places, labels] - logits[places, 1 - labels], slopes


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_robust_accuracy_of_a_linear_model_is_that_of_its_margins(pictures: Task, norm: Norm) -> None:
    margin, slopes = margins(pictures)
    lost = slopes.abs().sum(1) if norm == "linf" else slopes.norm(dim=1)
    epsilon = float((margin / lost)[margin > 0].median())
    parts = parts_of([pictures], "validation", "full")
    (score,) = robust_report(CONFIG, LEAVES, parts, Attack(norm, epsilon, 4)).report.tasks
    certain = (margin - epsilon * lost).abs() > 1e-4
    expected = (margin - epsilon * lost > 0).numpy()
    assert numpy.array_equal(score.correct[certain.numpy()], expected[certain.numpy()])
    assert 0 < score.accuracy < 1
    assert score.n == 120


def test_an_attack_of_no_reach_is_the_clean_accuracy(pictures: Task) -> None:
    parts = parts_of([pictures], "validation", "full")
    clean = Evaluator("cpu", workers=1).scores(CONFIG, LEAVES, parts)
    robust = robust_report(CONFIG, LEAVES, parts, Attack("linf", 0.0, 2)).report.tasks
    assert numpy.array_equal(robust[0].correct, clean[0].correct)


def test_a_part_of_a_split_is_attacked_alone(pictures: Task) -> None:
    attack = Attack("l2", 0.2, 2)
    (whole,) = robust_report(CONFIG, LEAVES, parts_of([pictures], "validation", "full"), attack).report.tasks
    (part,) = robust_report(CONFIG, LEAVES, [Part(pictures, "validation", 30, 80)], attack).report.tasks
    assert numpy.array_equal(part.examples, whole.examples[30:80])
    assert numpy.array_equal(part.correct, whole.correct[30:80])


def test_a_report_under_attack_says_how_it_was_made(pictures: Task) -> None:
    attack = Attack("linf", 8 / 255, 10)
    told = robust_report(CONFIG, LEAVES, parts_of([pictures], "validation", "full"), attack).as_json()
    assert told["attack"] == {"norm": "linf", "epsilon": 8 / 255, "steps": 10, "step": 2.5 * 8 / 255 / 10}
    assert (told["words"], told["n"]) == ("ℓ∞ attack, ε 0.03137, 10 steps of 0.007843", 120)


def test_what_is_no_picture_is_refused_by_name(pictures: Task) -> None:
    class Text:
        name = "small/text"

    parts = [Part(cast(Any, Text()), "validation", 0, 1)]
    with pytest.raises(EvaluationError, match="small/text: a task under attack is one of pictures"):
        robust_report(CONFIG, LEAVES, parts, Attack("linf", 0.1, 1))
    with pytest.raises(EvaluationError, match="BasinMLP reads images"):
        wrong = replace(pictures, image_size=5)
        robust_report(CONFIG, LEAVES, parts_of([wrong], "validation", "full"), Attack("l2", 0.1, 1))


def test_a_measurement_says_after_each_batch_that_it_goes_on(pictures: Task) -> None:
    steps = list(robust_steps(CONFIG, LEAVES, parts_of([pictures], "validation", "full"), Attack("l2", 0.1, 1)))
    assert steps[:-1] == [None, None, None]
    assert steps[-1] is not None


def test_pixels_come_back_from_what_a_model_takes(pictures: Task) -> None:
    images = pictures.splits["validation"].images
    assert torch.allclose(pixels_of(pictures, pictures.pixels(images)), images / 255, atol=1e-6)
    assert torch.allclose(taken(pictures, images / 255), pictures.pixels(images), atol=1e-6)
