from __future__ import annotations

import json

import numpy
import pytest

from merging_core.errors import EvaluationError
from merging_core.evaluation.intervals import wilson
from merging_core.evaluation.report import TaskScore, compare, make_report, make_score


def score(task: str, right: int, n: int, of: int | None = None, split: str = "validation", start: int = 0) -> TaskScore:
    correct = numpy.arange(n) < right
    losses = numpy.where(correct, 0.5, 1.5).astype(numpy.float32)
    return make_score(task, task.title(), split, of or n, numpy.arange(start, start + n), correct, losses)


def test_a_score_carries_n_interval_and_split() -> None:
    found = score("a", 30, 40)
    assert (found.accuracy, found.loss, found.n, found.split) == (0.75, 0.75, 40, "validation")
    assert found.interval == wilson(30, 40) and not found.partial
    assert score("a", 30, 40, of=50).partial


def test_no_example_is_refused() -> None:
    with pytest.raises(EvaluationError, match="at least one example"):
        score("a", 0, 0)
    with pytest.raises(EvaluationError, match="at least one task"):
        make_report([], "full")


def test_tasks_count_alike_in_the_average_whatever_their_size() -> None:
    report = make_report([score("a", 10, 10), score("b", 0, 990)], "full")
    assert report.average == 0.5 and report.n == 1000
    assert report.loss == pytest.approx((0.5 + 1.5) / 2)


def test_a_single_task_s_average_has_its_wilson_interval() -> None:
    assert make_report([score("a", 30, 40)], "full").average_interval == wilson(30, 40)


def test_scores_of_two_splits_make_no_report() -> None:
    with pytest.raises(EvaluationError, match="test, validation"):
        make_report([score("a", 1, 2), score("b", 1, 2, split="test")], "full")


def test_normalised_is_the_mean_of_ratios_to_the_experts() -> None:
    experts = {"a": score("a", 40, 50), "b": score("b", 50, 50)}
    report = make_report([score("a", 20, 50), score("b", 50, 50), score("c", 1, 50)], "full", experts)
    assert report.normalised == pytest.approx((20 / 40 + 50 / 50) / 2)
    assert report.normalised_tasks == ("a", "b")
    assert report.normalised_interval is not None
    assert report.normalised_interval[0] < 0.75 < report.normalised_interval[1]


def test_a_preview_is_normalised_by_the_beginning_of_the_expert_s_full_score() -> None:
    report = make_report([score("a", 8, 32, of=50)], "preview", {"a": score("a", 16, 50)})
    assert report.normalised == pytest.approx(8 / 16)


def test_without_experts_or_with_one_that_knows_nothing_nothing_is_normalised() -> None:
    assert make_report([score("a", 8, 32)], "full").normalised is None
    found = make_report([score("a", 8, 32)], "full", {"a": score("a", 0, 32)})
    assert found.normalised is None and found.as_json()["normalised"] is None


def test_an_expert_on_other_examples_is_refused() -> None:
    for other in (score("a", 8, 16), score("a", 8, 32, start=1), score("a", 8, 32, split="test")):
        with pytest.raises(EvaluationError, match="on the same examples"):
            make_report([score("a", 8, 32)], "full", {"a": other})


def test_a_report_as_json_says_what_it_is() -> None:
    report = make_report([score("a", 8, 32, of=50), score("b", 32, 32)], "preview", transductive=True)
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert (found["split"], found["subset"], found["n"]) == ("validation", "preview", 64)
    assert found["partial"] is True and found["transductive"] is True
    assert [row["partial"] for row in found["tasks"]] == [True, False]
    assert found["tasks"][0] == {
        "task": "a", "title": "A", "split": "validation", "accuracy": 0.25, "interval": list(wilson(8, 32)),
        "loss": 1.25, "n": 32, "of": 50, "partial": True,
    }  # fmt: skip
    assert found["average"] == {
        "accuracy": report.average, "interval": list(report.average_interval), "loss": report.loss,
    }  # fmt: skip


def test_a_comparison_is_per_task_and_on_average() -> None:
    first = make_report([score("a", 30, 40), score("b", 10, 40)], "full")
    second = make_report([score("a", 20, 40), score("b", 10, 40)], "full", transductive=True)
    found = compare(first, second)
    assert [row.estimate.value for row in found.tasks] == [0.25, 0.0]
    assert found.average.value == pytest.approx(0.125) and found.average.interval[0] > 0
    assert found.tasks[1].estimate.interval == (0.0, 0.0)
    assert found.transductive and json.loads(json.dumps(found.as_json()))["tasks"][0]["n"] == 40


def test_a_preview_is_not_compared_with_a_full_split_nor_other_tasks() -> None:
    full = make_report([score("a", 30, 40), score("b", 30, 40)], "full")
    with pytest.raises(EvaluationError) as caught:
        compare(make_report([score("a", 8, 32, of=40), score("b", 8, 32, of=40)], "preview"), full)
    assert len(caught.value.problems) == 2
    with pytest.raises(EvaluationError, match="the same tasks"):
        compare(full, make_report([score("a", 30, 40)], "full"))


@pytest.mark.parametrize("n", [0, 41])
def test_a_part_of_a_score_lies_within_it(n: int) -> None:
    with pytest.raises(EvaluationError):
        score("a", 30, 40).first(n)
