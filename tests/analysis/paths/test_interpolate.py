"""The line between models of the zoo: its numbers are those of evaluations, its barriers those that are known."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from merging_core.analysis.paths.interpolate import INTERPOLATE
from merging_core.analysis.studies.contract import Finding, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.checkpoints.zoo import load_zoo
from merging_core.errors import BasinError
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.paths import barrier, trace
from tests.analysis.studies.small import small_bench


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench(tasks=(load_task(load_zoo().task_folder("basins/digits")),))


def numbers_of(bench: StudyBench, *names: str, **given: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", findings_of(bench, *names, **given)[-1].numbers)


def findings_of(bench: StudyBench, *names: str, params: dict[str, object] | None = None, **given: Any) -> list[Finding]:
    study = {"name": "interpolate", "params": {"points": 9, **(params or {})}}
    refs = [name if ":" in name else f"zoo:basins/{name}" for name in names]
    spec = parse_study({"version": 1, "study": study, "models": refs, "splits": ["validation"], **given})
    return list(INTERPOLATE.answer(spec, bench, Memory()))


def loss_of(numbers: dict[str, Any], **wanted: object) -> dict[str, Any]:
    wanted = {"metric": "loss", **wanted}
    return next(row for row in numbers["barriers"] if wanted.items() <= row.items())


def test_strangers_have_a_barrier_and_kin_have_none(bench: StudyBench) -> None:
    far, near = numbers_of(bench, "stranger-1", "stranger-2"), numbers_of(bench, "left", "right")
    row = loss_of(far)
    assert row["n"] == far["n"]["validation"] == 200 and row["at"] == 0.5
    assert row["barrier"]["interval"][0] > 1.7 and row["held_out"]["interval"][0] > 1.5
    assert far["sentence"].startswith("Loss barrier 1.860 nats (") and "on validation (n 200)." in far["sentence"]
    assert loss_of(near)["barrier"]["value"] < 0.01 and loss_of(near)["held_out"]["interval"][0] <= 0.0
    assert near["sentence"].startswith("No loss barrier beyond noise, ")
    assert [len(found["rows"]) for found in far["examples"]] == [24] and near["examples"] == []


def test_the_barriers_are_those_of_the_studios_own_path(bench: StudyBench) -> None:
    """One definition: what the studio's panel measures on the same line is the same."""
    numbers = numbers_of(bench, "left", "stranger-2")
    first, last = (bench.engine.checkpoint(f"zoo:basins/{name}") for name in ("left", "stranger-2"))
    config = bench.engine.opened("zoo:basins/left").config
    *_, path = trace(
        bench.evaluator,
        config,
        lambda t: {name: (1 - t) * first[name] + t * last[name] for name in first},
        bench.tasks,
        points=9,
        splits=("validation",),
        subset="full",
    )
    for metric in ("loss", "error"):
        row, wanted = loss_of(numbers, metric=metric), barrier(path, "validation", metric)
        assert row["barrier"]["value"] == pytest.approx(wanted.height, abs=1e-4) and row["at"] == wanted.at
        for name in ("above_mean", "above_worse"):
            assert row[name]["value"] == pytest.approx(getattr(wanted, name), abs=1e-4)
    for mean, point in zip(numbers["means"], path.splits["validation"], strict=True):
        assert (mean["t"], mean["loss"]) == (point.t, pytest.approx(point.loss, abs=1e-4))
        assert mean["loss_interval"][0] < mean["loss"] < mean["loss_interval"][1]
        assert mean["accuracy_interval"] == pytest.approx(list(point.interval), abs=0.02)


def test_what_is_said_of_an_example_is_what_its_loss_says(bench: StudyBench) -> None:
    (found,) = numbers_of(bench, "stranger-1", "stranger-2")["examples"]
    task = bench.tasks[0]
    for row in found["rows"]:
        assert row["label"] == task.classes[int(task.labels("validation")[row["example"]])]
        for answer, loss in zip(row["said"], row["losses"], strict=True):
            if answer["class"] == row["label"]:
                assert answer["probability"] == pytest.approx(math.exp(-loss), abs=1e-3)
            else:
                assert math.exp(-loss) < answer["probability"] + 1e-3
    assert sum(row["said"][1]["class"] != row["label"] for row in found["rows"]) > 12


def test_a_line_through_several_models_says_which_step_is_the_highest(bench: StudyBench) -> None:
    splits = {"splits": ["validation", "train"], "subset": "preview"}
    findings = findings_of(bench, "left", "right", "stranger-1", params={"points": 3}, **splits)
    assert all("rom model " in cast("dict[str, Any]", finding.numbers)["sentence"] for finding in findings)
    numbers = numbers_of(bench, "left", "right", "stranger-1", params={"points": 5})
    assert {(row["from"], row["to"]) for row in numbers["barriers"]} == {(0, 1), (1, 2), (0, 2)}
    assert numbers["sentence"].startswith("From model 2 to 3, loss barrier 1.")
    assert loss_of(numbers, to=1)["barrier"]["value"] < 0.01 < 1.0 < loss_of(numbers, **{"from": 1})["barrier"]["value"]
    assert [found["from"] for found in numbers["examples"]] == [1]


def test_of_several_kin_no_step_has_a_barrier(bench: StudyBench) -> None:
    numbers = numbers_of(bench, "start", "left", "right", params={"points": 3})
    assert numbers["sentence"].startswith("No step has a loss barrier beyond noise, the highest 0.0")


def test_a_line_that_goes_on_has_the_barrier_of_what_lies_between(bench: StudyBench) -> None:
    plain = numbers_of(bench, "left", "right")
    longer = numbers_of(bench, "left", "right", params={"before": 0.5, "beyond": 0.25})
    assert longer["range"] == [-0.5, 1.25]
    assert [point["t"] for point in longer["points"]] == [index / 8 for index in range(-4, 11)]
    assert longer["barriers"] == plain["barriers"]
    assert longer["points"][0]["scores"][0]["loss"] > plain["points"][0]["scores"][0]["loss"]


def test_the_same_seed_has_the_same_intervals_and_another_has_others(bench: StudyBench) -> None:
    one, same, other = (numbers_of(bench, "left", "stranger-1", seed=seed, params={"points": 3}) for seed in (0, 0, 1))
    assert one == same
    assert loss_of(one)["barrier"]["value"] == loss_of(other)["barrier"]["value"]
    assert loss_of(one)["barrier"]["interval"] != loss_of(other)["barrier"]["interval"]


def test_the_first_finding_holds_both_ends_and_the_middle_of_the_first_split() -> None:
    first, *_ = findings_of(small_bench(), "left", "right", splits=["validation", "train"])
    numbers = cast("dict[str, Any]", first.numbers)
    assert [point["t"] for point in numbers["points"]] == [0.0, 0.5, 1.0] and set(numbers["n"]) == {"validation"}


def test_models_that_cannot_be_joined_say_why(bench: StudyBench) -> None:
    with pytest.raises(BasinError) as caught:
        findings_of(bench, "zoo:basins/left", "zoo:tiny/digits")
    first, second, *_ = caught.value.problems
    assert str(first) == (
        "zoo:tiny/digits: config model_type: model_type is 'basin_mlp' as in zoo:basins/left, "
        "but 'clip_vision_model' came."
    )
    assert "the leaf is there, as in zoo:basins/left" in str(second)
