from __future__ import annotations

import json
import math

import pytest
import torch

from merging_core.errors import CancelledError, EvaluationError
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.paths import Path, Point, barrier, coarse_to_fine, point_of, trace
from merging_core.evaluation.subsets import PREVIEW
from tests.evaluation.standins import MLP_CONFIG, make_task, mlp_weights

FIRST, LAST = mlp_weights(1), mlp_weights(2)
TASKS = [
    make_task("first", {"train": 40, "validation": 50}, seed=1),
    make_task("second", {"train": 35, "validation": 33}),
]


def between(t: float) -> dict[str, torch.Tensor]:
    return {name: (1 - t) * FIRST[name] + t * LAST[name] for name in FIRST}


def path_of(losses: list[float], accuracies: list[float] | None = None, ends: tuple[float, float] = (0.0, 1.0)) -> Path:
    low, high = ends
    count = len(losses) - 1
    rows = zip(losses, accuracies or [0.5] * len(losses), strict=True)
    points = tuple(
        Point(low + (high - low) * i / count, loss, right, (0.0, 1.0), ()) for i, (loss, right) in enumerate(rows)
    )
    return Path(("a",), ends, {"validation": points}, {"validation": 9}, {"validation": 9}, None, True)


@pytest.mark.parametrize("points", [2, 3, 4, 5, 9, 11, 25, 100])
def test_the_order_holds_each_point_once_ends_and_middle_first(points: int) -> None:
    order = coarse_to_fine(points)
    assert sorted(order) == list(range(points)) and order[:2] == (0, points - 1)
    assert points < 3 or order[2] == (points - 1) // 2


@pytest.mark.parametrize("points", [0, 1])
def test_a_path_has_two_points(points: int) -> None:
    with pytest.raises(EvaluationError):
        coarse_to_fine(points)


def test_a_barrier_is_the_largest_height_above_the_chord() -> None:
    found = barrier(path_of([1.0, 4.0, 2.5, 3.0, 3.0]))
    assert (found.height, found.at, found.share) == (2.5, 0.25, 0.25)  # 4.0 − (0.75·1 + 0.25·3)
    assert found.midpoint_gap == pytest.approx(0.5) and found.ends == (1.0, 3.0)


def test_a_straight_line_with_unequal_ends_has_no_barrier() -> None:
    """The difference is maximised, not the loss: max L − mean of the ends would be 1 here."""
    found = barrier(path_of([0.0, 0.5, 1.0, 1.5, 2.0]))
    assert (found.height, found.midpoint_gap) == (0.0, 0.0)


def test_a_path_below_its_chord_has_height_zero_and_a_negative_gap() -> None:
    found = barrier(path_of([1.0, 0.5, 0.25, 0.5, 1.0]))
    assert (found.height, found.share, found.midpoint_gap) == (0.0, 0.0, -0.75)


def test_the_error_barrier_is_the_same_on_one_minus_accuracy() -> None:
    found = barrier(path_of([1.0] * 3, [0.9, 0.3, 0.7]), metric="error")
    assert found.height == pytest.approx(0.5) and found.share == 0.5
    assert found.ends == pytest.approx((0.1, 0.3))


def test_along_lambda_t_is_scaled_to_one() -> None:
    found = barrier(path_of([1.0, 4.0, 2.5, 3.0, 3.0], ends=(0.0, 1.5)))
    assert (found.height, found.at, found.share) == (2.5, 0.375, 0.25)


def test_without_an_end_or_a_known_name_there_is_no_barrier() -> None:
    path = path_of([1.0, 2.0, 1.0])
    cut = Path(path.tasks, path.range, {"validation": path.splits["validation"][:2]}, path.n, path.of, None, False)
    for refused in (lambda: barrier(cut), lambda: barrier(path, "test"), lambda: barrier(path, metric="f1")):
        with pytest.raises(EvaluationError):
            refused()


def test_a_loss_that_is_not_finite_is_an_infinite_barrier_and_null_in_json() -> None:
    path = path_of([1.0, math.nan, 1.0])
    assert barrier(path).height == math.inf
    assert json.loads(json.dumps(path.as_json(), allow_nan=False))["barrier"]["validation"]["loss"]["height"] is None


def test_a_path_without_a_middle_has_no_midpoint_gap() -> None:
    assert barrier(path_of([1.0, 2.0, 2.0, 1.0])).midpoint_gap is None


def test_a_trace_shows_ends_middle_and_current_first_and_then_every_point() -> None:
    paths = list(trace(Evaluator(workers=1), MLP_CONFIG, between, TASKS, current=0.3, points=9))
    assert [point.t for point in paths[0].splits["validation"]] == [0.0, 0.3, 0.5, 1.0]
    assert not paths[0].complete and [len(path.splits["train"]) for path in paths] == [4, 5, 6, 7, 8, 9, 9]
    assert [path.complete for path in paths] == [False] * 6 + [True]
    last = paths[-1]
    assert [point.t for point in last.splits["train"]] == [i / 8 for i in range(9)]
    assert (
        last.n == {"validation": 2 * PREVIEW, "train": 2 * PREVIEW}
        and last.of == {"validation": 83, "train": 75}
        and last.partial
    )
    json.dumps(last.as_json(), allow_nan=False)


def test_each_point_is_an_evaluation_of_the_weights_there() -> None:
    evaluator = Evaluator(workers=1)
    *_, path = trace(evaluator, MLP_CONFIG, between, TASKS, points=5, subset="full", current=0.5)
    for split in ("validation", "train"):
        assert [point.t for point in path.splits[split]] == [0.0, 0.25, 0.5, 0.75, 1.0]
        for point in path.splits[split]:
            report = evaluator.evaluate(MLP_CONFIG, between(point.t), TASKS, split)
            assert point.loss == pytest.approx(report.loss, abs=1e-6) and point.accuracy == report.average
            assert point.interval == report.average_interval
            assert [row.accuracy for row in point.tasks] == [score.accuracy for score in report.tasks]
    assert not path.partial and path.complete


def test_a_range_that_does_not_start_at_zero_keeps_its_ends_exactly() -> None:
    *_, path = trace(Evaluator(workers=1), MLP_CONFIG, between, TASKS[:1], ends=(0.1, 0.7), points=4, splits=("train",))
    assert [point.t for point in path.splits["train"]][::3] == [0.1, 0.7]
    assert barrier(path, "train").height >= 0.0


def test_remembered_points_are_not_measured_again() -> None:
    evaluator, asked = Evaluator(workers=1), []
    memory: dict[tuple[str, float], Point] = {}

    def counted(t: float) -> dict[str, torch.Tensor]:
        asked.append(t)
        return between(t)

    *_, whole = trace(evaluator, MLP_CONFIG, counted, TASKS, points=5, current=0.1, memory=memory)
    assert asked == [0.0, 1.0, 0.5, 0.1, 0.25, 0.75]
    asked.clear()
    again = list(trace(evaluator, MLP_CONFIG, counted, TASKS, points=5, current=0.2, memory=memory))
    assert asked == [] and len(again) == 1 and again[0].complete
    assert [point.t for point in again[0].splits["train"]] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert again[0].splits == whole.splits


def test_a_later_split_does_not_hold_up_the_first_answer() -> None:
    evaluator = Evaluator(workers=1)
    first, second, *_, last = trace(
        evaluator, MLP_CONFIG, between, TASKS, points=5, splits=("validation",), later_splits=("train",)
    )
    assert set(first.splits) == {"validation"} and not first.complete
    assert set(second.splits) == {"validation", "train"} and len(second.splits["train"]) == 3
    assert last.complete and len(last.splits["train"]) == 5
    *_, together = trace(evaluator, MLP_CONFIG, between, TASKS, points=5)
    assert last.splits == together.splits


def test_a_report_is_a_point_of_the_path() -> None:
    evaluator = Evaluator(workers=1)
    report = evaluator.evaluate(MLP_CONFIG, between(0.5), TASKS, "validation", "preview")
    *_, path = trace(evaluator, MLP_CONFIG, between, TASKS, points=3, splits=("validation",))
    assert path.splits["validation"][1] == point_of(report, 0.5)


@pytest.mark.parametrize(
    "changes", [{"ends": (1.0, 1.0)}, {"ends": (0.0, math.inf)}, {"current": 1.5}, {"splits": ()}, {"points": 1}]
)
def test_a_path_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EvaluationError):
        next(trace(Evaluator(workers=1), MLP_CONFIG, between, TASKS, **changes))  # type: ignore[arg-type]


def test_a_cancelled_trace_stops() -> None:
    with pytest.raises(CancelledError):
        next(trace(Evaluator(workers=1), MLP_CONFIG, between, TASKS, cancelled=lambda: True))
