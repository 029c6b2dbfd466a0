"""Looking closer at the embedded zoo's small networks: messages, and numbers against an independent computation."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.families import Family
from app.live import Scheduler
from app.looking.service import Looking
from app.looking.trade_off import STEPS, TradeOffs
from app.settings import Settings
from app.state import StudioState, default_state
from app.studio.bench import ZooBench
from app.studio.slow_merges import SlowMerges
from app.studio.workbench import Models
from merging_core.evaluation.intervals import wilson
from merging_core.evaluation.subsets import PREVIEW
from merging_core.recipes import parse_recipe

TASK = "basins/digits"
PICTURE = base64.b64encode(bytes([0, 255] * 32)).decode()
TINY = "tiny"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> ZooBench:
    folder = str(tmp_path_factory.mktemp("data"))
    return ZooBench(Settings.from_env({"BASIN_DATA": folder, "BASIN_DEVICE": "cpu"}))


@pytest.fixture(scope="module")
def models(bench: ZooBench) -> Models:
    return bench.models()


@pytest.fixture(scope="module")
def family(bench: ZooBench) -> Family:
    return next(family for family in bench.families if family.name == "basins")


@pytest.fixture
def state(family: Family) -> StudioState:
    return default_state(family)


@pytest.fixture
def looking(bench: ZooBench, models: Models) -> Iterator[Looking]:
    scheduler = Scheduler()
    yield Looking(models, bench.families, scheduler)
    scheduler.close()


def ask(looking: Looking, name: str, **message: Any) -> dict[str, Any]:
    function = looking.functions()[name]
    answer = function("ann", message)
    found: dict[str, Any] = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
    return found


def tried(looking: Looking, opened: StudioState, **more: Any) -> dict[str, Any]:
    message = {"seq": 1, "page": "p", "state": opened.as_json(), "task": TASK}
    return ask(looking, "try_picture", **{**message, **more})


def sentences(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False
    return " ".join(problem["sentence"] for problem in answer["problems"])


def independent_logits(models: Models, weights: dict[str, torch.Tensor], images: torch.Tensor, task: Any) -> Any:
    """The perceptron once more, in float64 and by hand: ReLU between layers, the last gives the logits."""
    x = ((images.double() / 255 - task.mean) / task.std).flatten(1).numpy()
    count = sum(name.endswith(".weight") for name in weights)
    for index in range(count):
        x = x @ weights[f"layers.{index}.weight"].double().numpy().T + weights[f"layers.{index}.bias"].double().numpy()
        x = np.maximum(x, 0) if index < count - 1 else x
    return x


@pytest.mark.parametrize("name", ["try_picture", "look_closer"])
def test_a_slow_merge_is_waited_for_where_no_slider_waits(
    name: str, bench: ZooBench, models: Models, state: StudioState, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, slow, prepared = Scheduler(), SlowMerges(bench), []
    monkeypatch.setattr(bench, "waiting", lambda state: 9.0)
    monkeypatch.setattr(bench, "prepare", lambda state, cancelled: prepared.append(threading.current_thread().name))
    lines = {thread.name for thread in line._threads}
    monkeypatch.setattr(line._threads[0], "name", "sliders")
    try:
        message: dict[str, Any] = {"seq": 1, "page": "p", "state": state.as_json(), "task": TASK}
        more = {"example": 5} if name == "try_picture" else {}
        assert ask(Looking(models, bench.families, line, None, slow), name, **message, **more)["ok"]
        assert len(prepared) == 1 and prepared[0] in lines and prepared[0] != "sliders"
    finally:
        slow.close()
        line.close()


def test_every_model_in_use_says_what_it_sees(
    looking: Looking, models: Models, family: Family, state: StudioState
) -> None:
    numbers = tried(looking, state, example=5)["numbers"]
    assert [row["kind"] for row in numbers["models"]] == ["merge", "base", "expert", "expert"]
    assert [row["title"] for row in numbers["models"][1:]] == ["base", "Left", "Right"]
    task = models.tasks_of(family)[0]
    image = task.splits["validation"].images[[task.splits["validation"].order[5]]]
    weights = [models.engine.merge(state.recipe).weights]
    weights += [models.engine.checkpoint(row["ref"]) for row in numbers["models"][1:]]
    for row, leaves in zip(numbers["models"], weights, strict=True):
        logits = independent_logits(models, leaves, image, task)[0]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares)[:3]
        assert [one["class"] for one in row["top"]] == [task.classes[index] for index in best]
        assert [one["probability"] for one in row["top"]] == pytest.approx(shares[best].tolist(), abs=1e-5)


def test_an_example_comes_with_its_picture_and_its_true_class(
    looking: Looking, models: Models, family: Family, state: StudioState
) -> None:
    numbers = tried(looking, state, example=3)["numbers"]
    split = models.tasks_of(family)[0].splits["validation"]
    index = split.order[3]
    assert base64.b64decode(numbers["picture"]) == split.images[index].numpy().tobytes()
    assert split.labels is not None
    assert numbers["truth"] == str(int(split.labels[index]))


def test_a_drawing_is_shown_as_the_model_sees_it_and_has_no_truth(looking: Looking, state: StudioState) -> None:
    numbers = tried(looking, state, picture=PICTURE)["numbers"]
    assert numbers["picture"] == PICTURE
    assert (numbers["truth"], numbers["side"]) == (None, 8)


def test_the_same_picture_changes_its_answer_with_the_merge_only(
    looking: Looking, family: Family, state: StudioState
) -> None:
    document = {"version": 1, "base": family.base, "models": [{"ref": family.experts[0].ref}]}
    answers = []
    for lambda_ in (0.0, 1.0):
        recipe = parse_recipe({**document, "method": {"name": "task_arithmetic"}, "lambda": lambda_})
        answers.append(tried(looking, replace(state, recipe=recipe), picture=PICTURE)["numbers"]["models"])
    (merge, base, left), (other, base_again, left_again) = answers
    assert (base, left) == (base_again, left_again)
    assert [one["class"] for one in merge["top"]] == [one["class"] for one in base["top"]]
    assert [one["probability"] for one in other["top"]] == pytest.approx(
        [one["probability"] for one in left["top"]], abs=1e-5
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "a picture or an example is sent, but neither came"),
        ({"picture": PICTURE, "example": 0}, "but both came"),
        ({"picture": "*" * 40}, "gray values in base64"),
        ({"picture": base64.b64encode(bytes(1024)).decode()}, "8 × 8 gray values, but 1024 came"),
        ({"picture": base64.b64encode(bytes(64)).decode()}, "the picture shows something"),
        ({"picture": "A" * 8193}, "at most 8192 characters"),
        ({"picture": [0] * 64}, "at most 8192 characters"),
        ({"example": 99_999}, "of validation, but number 99999 came"),
        ({"example": -1}, "example is a whole number"),
        ({"example": True}, "example is a whole number"),
        ({"example": 0, "task": "basins/digit"}, "the task is one of"),
        ({"example": 0, "task": "tiny/digits"}, "the task is one of"),
        ({"example": 0, "split": "test"}, "keys are known by name"),
        ({"example": 0, "state": {}}, "version"),
    ],
)
def test_a_message_that_does_not_fit_is_answered_with_a_sentence(
    looking: Looking, state: StudioState, more: dict[str, Any], sentence: str
) -> None:
    assert sentence in sentences(tried(looking, state, **more))


def test_the_strip_shows_validation_in_its_order_and_goes_round(
    looking: Looking, models: Models, family: Family
) -> None:
    split = models.tasks_of(family)[0].splits["validation"]
    n = len(split)
    numbers = ask(looking, "try_pictures", family="basins", task=TASK, start=n - 10)["numbers"]
    places = [row["example"] for row in numbers["examples"]]
    assert (numbers["n"], places[:11]) == (n, [*range(n - 10, n), 0])
    source = numbers["sprite"]["source"].removeprefix("data:image/png;base64,")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))
    assert picture.shape == (8, 24 * 8)
    assert (picture[:, 8:16] == split.images[split.order[n - 9]][0].numpy()).all()


@pytest.mark.parametrize(("family_name", "task"), [("basins", "no/task"), ("no family", TASK)])
def test_pictures_of_what_is_not_there_are_refused(looking: Looking, family_name: str, task: str) -> None:
    assert "but no" in sentences(ask(looking, "try_pictures", family=family_name, task=task))


def test_a_close_look_counts_what_an_independent_computation_counts(
    looking: Looking, models: Models, family: Family, state: StudioState
) -> None:
    numbers = ask(looking, "look_closer", seq=1, state=state.as_json(), task=TASK)["numbers"]
    task = models.tasks_of(family)[0]
    split = task.splits["validation"]
    assert split.labels is not None
    labels = split.labels.tolist()
    merge = models.engine.merge(state.recipe).weights
    ours, theirs = (
        independent_logits(models, weights, split.images, task).argmax(axis=1).tolist()
        for weights in (merge, models.engine.checkpoint(numbers["expert"]["ref"]))
    )
    counts = [[0] * 10 for _ in range(10)]
    for truth, said in zip(labels, ours, strict=True):
        counts[truth][said] += 1
    assert numbers["confusion"]["counts"] == counts
    assert (numbers["n"], numbers["split"]) == (len(labels), "validation")
    assert numbers["classes"][4]["interval"] == list(wilson(counts[4][4], sum(counts[4])))
    lost = sum(a != label == b for a, b, label in zip(ours, theirs, labels, strict=True))
    gained = sum(a == label != b for a, b, label in zip(ours, theirs, labels, strict=True))
    assert (numbers["lost"]["n"], numbers["gained"]["n"]) == (lost, gained)
    right = sum(a == label for a, label in zip(ours, labels, strict=True))
    assert numbers["accuracy"] == right / len(labels)
    assert numbers["expert"]["accuracy"] == pytest.approx((right + lost - gained) / len(labels))
    assert all(one["expert"] == one["truth"] != one["merge"] for one in numbers["lost"]["pictures"])


def test_a_close_look_agrees_with_the_accuracy_chart(bench: ZooBench, looking: Looking, state: StudioState) -> None:
    seen = ask(looking, "look_closer", seq=1, state=state.as_json(), task=TASK)["numbers"]
    chart = bench.accuracy(state, "validation", "full", lambda: False).numbers["tasks"][0]
    assert seen["hash"] == bench.identity(state)
    assert (seen["accuracy"], seen["interval"], seen["n"]) == (chart["accuracy"], chart["interval"], chart["n"])


def test_the_most_frequent_mistakes_come_first(looking: Looking, state: StudioState) -> None:
    numbers = ask(looking, "look_closer", seq=1, state=state.as_json(), task=TASK)["numbers"]
    counts = np.array(numbers["confusion"]["counts"])
    np.fill_diagonal(counts, 0)
    assert [one["count"] for one in numbers["mistakes"]] == sorted(counts.flatten().tolist())[::-1][:3]


def test_a_family_of_one_task_has_no_trade_off(looking: Looking, family: Family) -> None:
    message = {"seq": 1, "family": "basins", "expert": family.experts[0].ref, "subset": "preview"}
    assert "other tasks to hold it against" in sentences(ask(looking, "trade_off", **message))
    assert "the expert is one of" in sentences(ask(looking, "trade_off", **{**message, "expert": "zoo:basins/lef"}))
    assert "subset is one of" in sentences(ask(looking, "trade_off", **{**message, "subset": "test"}))


@pytest.fixture(scope="module")
def traded(bench: ZooBench, models: Models) -> dict[str, Any]:
    family = next(one for one in bench.families if one.name == TINY)
    numbers: dict[str, Any] = TradeOffs(models, seconds=600.0).measure(
        family, family.experts[0].ref, "preview", lambda: False
    )
    return numbers


def test_a_trade_off_begins_at_the_base_and_ends_at_the_expert(
    bench: ZooBench, models: Models, traded: dict[str, Any]
) -> None:
    family = next(one for one in bench.families if one.name == TINY)
    expert, tasks = family.experts[0], models.tasks_of(family)
    config = models.engine.plan(default_state(family).recipe).survey.reference.config
    assert [point["at"] for point in traded["curves"]["lines_gamma"]] == list(STEPS)
    for curve, place, ref in (
        ("wise_ft", 0, str(family.base)),
        ("wise_ft", -1, expert.ref),
        ("lines_gamma", -1, expert.ref),
    ):
        report = models.evaluator.evaluate(config, models.engine.checkpoint(ref), tasks, "validation", "preview")
        accuracy = {score.task: score.accuracy for score in report.tasks}
        point = traded["curves"][curve][place]
        others = [value for task, value in accuracy.items() if task != expert.task]
        assert point["target"] == accuracy[str(expert.task)]
        assert point["control"] == pytest.approx(sum(others) / len(others))
    assert (traded["complete"], traded["n"]) == (True, {"target": PREVIEW, "controls": 5 * PREVIEW})


def test_a_trade_off_that_steps_aside_keeps_its_points_and_gets_on(bench: ZooBench, models: Models) -> None:
    family = next(one for one in bench.families if one.name == TINY)
    trade_offs = TradeOffs(models, seconds=0.0)
    seen = [trade_offs.measure(family, family.experts[1].ref, "preview", lambda: False) for _ in range(13)]
    known = [sum(len(points) for points in numbers["curves"].values()) for numbers in seen]
    assert known[0] == 0
    assert known[-1] == 2
    assert not seen[-1]["complete"]
