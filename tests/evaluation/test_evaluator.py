from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from merging_core.errors import CancelledError, EvaluationError
from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.batches import Batches, cut
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.subsets import PREVIEW
from merging_core.evaluation.tasks import Task
from tests.evaluation.standins import CLIP_CONFIG, MLP_CONFIG, make_task, mlp_weights, random_weights

SIZES = {"train": 45, "calibration": 20, "validation": 70, "test": 20}


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [make_task("first", SIZES, 3, seed=1), make_task("second", SIZES | {"validation": 90}, 3, seed=2)]


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    yield Evaluator(batch=16, workers=2)


def by_hand(task: Task, split: str, weights: dict[str, torch.Tensor]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Correct answers and losses in the split's own order, in float64, one image at a time."""
    images = (task.splits[split].images.double() / 255 - task.mean) / task.std
    labels = task.splits[split].labels
    assert labels is not None
    right, losses = [], []
    for image, label in zip(images, labels, strict=True):
        hidden = (weights["layers.0.weight"].double() @ image.flatten() + weights["layers.0.bias"].double()).clamp(0)
        logits = weights["layers.1.weight"].double() @ hidden + weights["layers.1.bias"].double()
        right.append(int(logits.argmax()) == int(label))
        losses.append(float(torch.logsumexp(logits, 0) - logits[label]))
    return numpy.array(right), numpy.array(losses)


def test_a_report_is_what_one_counts_by_hand(tasks: list[Task], evaluator: Evaluator) -> None:
    weights = mlp_weights(3)
    report = evaluator.evaluate(MLP_CONFIG, weights, tasks)
    for task, score in zip(tasks, report.tasks, strict=True):
        right, losses = by_hand(task, "validation", weights)
        assert score.correct.tolist() == right[score.examples].tolist()
        numpy.testing.assert_allclose(score.losses, losses[score.examples], rtol=1e-5, atol=1e-5)
        assert score.accuracy == right.mean() and score.loss == pytest.approx(losses.mean(), abs=1e-5)
        assert sorted(score.examples) == list(range(len(right))) and score.n == score.of == len(right)
    assert report.average == pytest.approx(numpy.mean([score.accuracy for score in report.tasks]))
    assert (report.split, report.n, report.partial) == ("validation", 160, False)


def test_numbers_equal_plain_transformers() -> None:
    found = architecture(CLIP_CONFIG)
    weights = random_weights(dict(found.leaves), 8)
    task = make_task("clip", SIZES, 4, width=12, seed=3)
    report = Evaluator(workers=1).evaluate(CLIP_CONFIG, weights, [task], "test")
    model = CLIPVisionModel(CLIPVisionConfig(**CLIP_CONFIG)).eval()
    model.load_state_dict(weights, strict=False)
    split = task.splits["test"]
    assert isinstance(task.head, PrototypeHead) and split.labels is not None
    with torch.inference_mode():
        features = model(pixel_values=task.pixels(split.images)).pooler_output
    unit = features / features.norm(dim=1, keepdim=True)
    logits = 10.0 * unit @ task.head.prototypes.T
    right, order = (logits.argmax(1) == split.labels).numpy(), report.tasks[0].examples
    assert report.tasks[0].correct.tolist() == right[order].tolist()
    assert report.tasks[0].loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, split.labels)), abs=1e-5
    )


def test_anytime_gives_the_preview_and_then_the_whole_split_for_no_extra_work(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator, rows = Evaluator(batch=16, workers=1), []
    computed = Batches.run

    def counted(self: Batches, function: Any, pieces: Any, *rest: Any) -> torch.Tensor:
        rows.append(sum(len(piece) for piece in pieces))
        return computed(self, function, pieces, *rest)

    monkeypatch.setattr(Batches, "run", counted)
    preview, full = evaluator.anytime(MLP_CONFIG, mlp_weights(3), tasks)
    assert rows == [2 * PREVIEW, 160 - 2 * PREVIEW]
    assert (preview.subset, preview.partial, preview.n) == ("preview", True, 2 * PREVIEW)
    assert (full.subset, full.partial, full.n) == ("full", False, 160)
    whole = evaluator.evaluate(MLP_CONFIG, mlp_weights(3), tasks)
    for early, late, once in zip(preview.tasks, full.tasks, whole.tasks, strict=True):
        assert late.examples.tolist() == once.examples.tolist() and late.correct.tolist() == once.correct.tolist()
        assert early.examples.tolist() == late.examples[:PREVIEW].tolist()
        assert early.interval[1] - early.interval[0] > late.interval[1] - late.interval[0]


def test_the_preview_evaluated_alone_is_the_anytime_preview(tasks: list[Task], evaluator: Evaluator) -> None:
    alone = evaluator.evaluate(MLP_CONFIG, mlp_weights(3), tasks, subset="preview")
    first = next(iter(evaluator.anytime(MLP_CONFIG, mlp_weights(3), tasks)))
    assert alone.as_json() == first.as_json()


def test_a_split_no_larger_than_its_preview_gives_one_report() -> None:
    reports = list(Evaluator(workers=1).anytime(MLP_CONFIG, mlp_weights(3), [make_task("few", {"test": 7})], "test"))
    assert [(report.subset, report.partial, report.n) for report in reports] == [("full", False, 7)]


def test_batches_and_workers_do_not_change_the_numbers(tasks: list[Task]) -> None:
    reports = [
        Evaluator(batch=batch, workers=workers).evaluate(MLP_CONFIG, mlp_weights(3), tasks)
        for batch, workers in ((1, 1), (7, 3), (1000, 1), (1000, 4))
    ]
    for report in reports[1:]:
        for score, expected in zip(report.tasks, reports[0].tasks, strict=True):
            assert score.correct.tolist() == expected.correct.tolist()
            numpy.testing.assert_allclose(score.losses, expected.losses, rtol=1e-5, atol=1e-6)


def test_a_cancelled_evaluation_stops_between_two_batches(tasks: list[Task]) -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) == 3

    with pytest.raises(CancelledError):
        Evaluator(batch=16, workers=1).evaluate(MLP_CONFIG, mlp_weights(3), tasks, cancelled=cancelled)
    assert len(asked) == 3


def test_threads_may_evaluate_different_weights_at_once(tasks: list[Task], evaluator: Evaluator) -> None:
    alone = [evaluator.evaluate(MLP_CONFIG, mlp_weights(seed), tasks).as_json() for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(
            pool.map(lambda seed: evaluator.evaluate(MLP_CONFIG, mlp_weights(seed), tasks).as_json(), range(6))
        )
    assert together == alone


def test_weights_and_images_are_never_written_to(tasks: list[Task], evaluator: Evaluator) -> None:
    weights = mlp_weights(3)
    kept = {name: leaf.clone() for name, leaf in weights.items()}
    images = tasks[0].splits["validation"].images.clone()
    evaluator.evaluate(MLP_CONFIG, weights, tasks)
    assert all(torch.equal(leaf, kept[name]) for name, leaf in weights.items())
    assert torch.equal(images, tasks[0].splits["validation"].images)


def test_weights_that_are_not_finite_are_wrong_everywhere_and_their_loss_is_null(tasks: list[Task]) -> None:
    weights = mlp_weights(3)
    weights["layers.1.bias"] = torch.full((3,), float("nan"))
    report = Evaluator(workers=1).evaluate(MLP_CONFIG, weights, tasks)
    assert report.average == 0.0
    average = report.as_json()["average"]
    assert isinstance(average, dict) and average["loss"] is None


def test_a_model_is_not_asked_what_it_cannot_answer(tasks: list[Task], evaluator: Evaluator) -> None:
    clip = random_weights(dict(architecture(CLIP_CONFIG).leaves), 1)
    with pytest.raises(EvaluationError, match="gives features") as caught:
        evaluator.evaluate(CLIP_CONFIG, clip, tasks)
    assert len(caught.value.problems) == 2
    with pytest.raises(EvaluationError, match="gives 12 features, but a head for 6"):
        evaluator.evaluate(CLIP_CONFIG, clip, [make_task("narrow", SIZES, 3, width=6)])
    with pytest.raises(EvaluationError, match=r"reads images of shape \[1, 12, 12\]"):
        evaluator.evaluate(CLIP_CONFIG | {"image_size": 12}, clip, [make_task("small", SIZES, 3, width=12)])
    with pytest.raises(EvaluationError, match="inputs only"):
        evaluator.evaluate(MLP_CONFIG, mlp_weights(3), tasks, "calibration")
    with pytest.raises(EvaluationError, match="a task to evaluate on"):
        evaluator.evaluate(MLP_CONFIG, mlp_weights(3), [])


def test_inputs_are_kept_as_long_as_their_task_and_no_longer() -> None:
    evaluator, task = Evaluator(workers=1), make_task("gone", SIZES)
    evaluator.evaluate(MLP_CONFIG, mlp_weights(3), [task])
    gone = weakref.ref(task)
    assert evaluator._deck(task, "validation") is evaluator._deck(task, "validation")
    del task
    gc.collect()
    assert gone() is None and len(evaluator._decks) == 0


def test_workers_leave_the_caller_s_threads_alone() -> None:
    before = torch.get_num_threads()
    Batches(torch.device("cpu"), 16, 3)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == before and found == [before]


@pytest.mark.parametrize(("sizes", "count"), [([3, 4], 2), ([1], 1), ([5, 0, 7], 5), ([96], 7)])
def test_cutting_keeps_every_row_once_and_in_order(sizes: list[int], count: int) -> None:
    rows = torch.arange(sum(sizes))
    batches = cut(list(rows.split(sizes)), count)
    lengths = [sum(len(piece) for piece in batch) for batch in batches]
    assert torch.cat([piece for batch in batches for piece in batch]).tolist() == rows.tolist()
    assert len(batches) == count and max(lengths) - min(lengths) <= 1
