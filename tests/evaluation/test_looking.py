"""Single images, confusion and disagreement: hand-worked values, and the same answers as the evaluator's."""

from __future__ import annotations

import numpy
import pytest
import torch

from merging_core.errors import EvaluationError
from merging_core.evaluation.confusion import confusion
from merging_core.evaluation.disagreements import disagreements
from merging_core.evaluation.evaluator import Evaluator, parts_of
from merging_core.evaluation.intervals import pair_counts, wilson
from merging_core.evaluation.metrics import correct
from merging_core.evaluation.pictures import blank, gray, picture_for, resized
from merging_core.evaluation.predictions import logits_of, predicted, probabilities
from merging_core.evaluation.tasks import Task
from tests.evaluation.standins import MLP_CONFIG, make_task, mlp_weights

LABELS = [0, 0, 0, 1, 1, 2, 2, 2]
SAID = [0, 1, 1, 1, -1, 2, 0, 2]
NAN = float("nan")


@pytest.fixture
def task() -> Task:
    return make_task("small/three", {"validation": 40})


def test_a_confusion_worked_by_hand() -> None:
    found = confusion(LABELS, SAID, 4)
    assert found.counts.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert found.unanswered.tolist() == [0, 1, 0, 0]
    assert (found.n, found.right) == (8, 4)


def test_the_accuracy_of_a_class_is_its_diagonal_over_its_row_with_a_wilson_interval() -> None:
    found = confusion(LABELS, SAID, 4).classes()
    assert [(one.right, one.n) for one in found] == [(1, 3), (1, 2), (2, 3), (0, 0)]
    assert [one.accuracy for one in found[:3]] == [1 / 3, 1 / 2, 2 / 3]
    assert found[2].interval == wilson(2, 3)
    assert (found[3].accuracy, found[3].interval) == (None, None)


def test_shares_of_a_row_sum_to_one_less_what_was_not_answered() -> None:
    shares = confusion(LABELS, SAID, 4).shares()
    assert shares[0].tolist() == [1 / 3, 2 / 3, 0, 0]
    assert shares[:3].sum(axis=1).tolist() == pytest.approx([1, 0.5, 1])
    assert numpy.isnan(shares[3]).all()


def test_a_confusion_says_everything_that_does_not_fit_at_once() -> None:
    with pytest.raises(EvaluationError) as caught:
        confusion([0, 5], [0, 1, -2], 3)
    assert [problem.where for problem in caught.value.problems] == ["predictions", "labels", "predictions"]


def test_permuting_the_examples_changes_no_count() -> None:
    order = numpy.random.default_rng(0).permutation(len(LABELS))
    moved = confusion(numpy.array(LABELS)[order], numpy.array(SAID)[order], 4)
    assert (moved.counts == confusion(LABELS, SAID, 4).counts).all()


def test_disagreements_are_the_examples_that_pair_counts_counts() -> None:
    random = numpy.random.default_rng(1)
    truth, one, other = (random.integers(0, 3, 60) for _ in range(3))
    found = disagreements(truth, one, other)
    pairs = pair_counts(one == truth, other == truth)
    assert (found.both, found.neither) == (pairs.both, pairs.neither)
    assert (len(found.first_only), len(found.second_only)) == (pairs.first_only, pairs.second_only)
    assert all(one[place] == truth[place] != other[place] for place in found.first_only)
    assert all(other[place] == truth[place] != one[place] for place in found.second_only)


def test_swapping_the_models_swaps_what_is_lost_and_gained() -> None:
    forth, back = disagreements(LABELS, SAID, LABELS), disagreements(LABELS, LABELS, SAID)
    assert forth.second_only.tolist() == back.first_only.tolist() == [1, 2, 4, 6]
    assert forth.first_only.size == back.second_only.size == 0


def test_models_on_different_examples_do_not_disagree() -> None:
    with pytest.raises(EvaluationError, match="same examples"):
        disagreements([0], [0, 1], [0])


def test_predictions_are_right_where_the_metric_says_so() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 3.0], [NAN, 0.0], [float("inf"), 0.0]])
    said = predicted(logits)
    assert said.tolist() == [1, 0, -1, -1]
    for label in (0, 1):
        labels = torch.full((4,), label)
        assert (said == label).tolist() == correct(logits, labels).tolist()


def test_probabilities_are_a_softmax_or_nothing() -> None:
    shares = probabilities(torch.tensor([[0.0, numpy.log(3.0)], [NAN, 0.0]]))
    assert shares[0].tolist() == pytest.approx([0.25, 0.75])
    assert numpy.isnan(shares[1]).all()


def test_single_images_are_answered_as_the_evaluator_answers_them(task: Task) -> None:
    weights, parts = mlp_weights(4), parts_of([task], "validation", "full")
    answers = Evaluator("cpu", workers=1).answers(MLP_CONFIG, weights, parts)[0]
    places = [0, 7, 21]
    images = task.splits["validation"].images[answers.examples[places]]
    assert torch.allclose(logits_of(MLP_CONFIG, weights, task, images), answers.logits[places], atol=1e-5)


def test_an_image_of_another_size_or_type_is_refused(task: Task) -> None:
    for images in (torch.zeros(1, 1, 9, 8, dtype=torch.uint8), torch.zeros(1, 1, 8, 8)):
        with pytest.raises(EvaluationError, match="uint8 of shape"):
            logits_of(MLP_CONFIG, mlp_weights(4), task, images)


def test_a_task_of_more_classes_than_the_model_is_refused() -> None:
    task = make_task("small/five", {"validation": 5}, classes=5)
    with pytest.raises(EvaluationError, match="a head for 5"):
        logits_of(MLP_CONFIG, mlp_weights(4), task, torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


def test_gray_weighs_the_colours_and_sees_opacity_over_black() -> None:
    colours = numpy.array([[[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [255, 255, 255, 51]]], numpy.uint8)
    assert gray(colours).tolist() == [[76, 150, 29, 51]]
    assert gray(colours[..., :3]).tolist() == [[76, 150, 29, 255]]
    assert gray(colours[..., 0]).tolist() == [[255, 0, 0, 255]]


@pytest.mark.parametrize("shape", [(2, 2, 2), (4,), (1, 2, 2, 3)])
def test_gray_refuses_what_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(EvaluationError, match="pixels are 8-bit"):
        gray(numpy.zeros(shape, numpy.uint8))


def test_a_picture_of_the_right_size_stays_what_it_is() -> None:
    light = numpy.random.default_rng(2).integers(0, 256, (8, 8), dtype=numpy.uint8)
    assert (resized(light, 8) == light).all()


def test_a_larger_picture_becomes_means_of_areas() -> None:
    light = numpy.array([[0, 100, 8, 8], [100, 0, 8, 8], [1, 1, 200, 200], [1, 1, 200, 202]], numpy.uint8)
    assert resized(light, 2).tolist() == [[50, 8], [1, 201]]


def test_a_wide_picture_is_kept_whole_on_black() -> None:
    assert resized(numpy.full((2, 4), 90, numpy.uint8), 4).tolist() == [[0] * 4, [90] * 4, [90] * 4, [0] * 4]


def test_an_uneven_size_keeps_the_light() -> None:
    light = numpy.random.default_rng(3).integers(0, 256, (37, 37), dtype=numpy.uint8)
    assert resized(light, 32).mean() == pytest.approx(light.mean(), abs=0.5)


@pytest.mark.parametrize("shape", [(0, 3), (3,)])
def test_a_picture_without_pixels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EvaluationError, match="a picture has pixels"):
        resized(numpy.zeros(shape, numpy.uint8), 4)


def test_gray_values_become_an_image_row_by_row(task: Task) -> None:
    image = picture_for(task, bytes(range(64)))
    assert (image.shape, image.dtype) == ((1, 1, 8, 8), torch.uint8)
    assert image[0, 0, 1].tolist() == list(range(8, 16))


@pytest.mark.parametrize("count", [0, 63, 65, 1024])
def test_another_number_of_values_is_refused_by_name(task: Task, count: int) -> None:
    with pytest.raises(
        EvaluationError, match=f"small/three: a picture for this task has 8 × 8 gray values, but {count}"
    ):
        picture_for(task, bytes(count))


def test_a_picture_with_too_little_contrast_shows_nothing() -> None:
    images = torch.full((3, 1, 4, 4), 100, dtype=torch.uint8)
    images[1, 0, 0, 0] = 115
    images[2, 0, 0, 0] = 116
    assert blank(images).tolist() == [True, True, False]
