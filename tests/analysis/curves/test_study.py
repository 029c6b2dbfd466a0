"""The study of a curve: what it says of line and curve, on pictures as they are and under attack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy
import pytest

from merging_core.analysis.curves.study import CURVE
from merging_core.analysis.curves.traces import excess_interval
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.errors import EvaluationError
from merging_core.evaluation.evaluator import parts_of
from merging_core.evaluation.report import TaskScore, make_score
from merging_core.evaluation.tasks import Task
from tests.analysis.studies.small import small_spec

STRANGERS = ["zoo:basins/stranger-1", "zoo:basins/stranger-2"]


def answered(bench: StudyBench, **params: object) -> list[dict[str, Any]]:
    section = {"name": "curve", "params": {"points": 5, "steps": 4, "batch": 8, **params}}
    spec = small_spec(CURVE, study=section, models=STRANGERS)
    return [cast("dict[str, Any]", one.numbers) for one in CURVE.answer(spec, bench, Memory())]


def test_its_points_are_what_the_evaluator_says_of_the_weights_there(bench: StudyBench) -> None:
    numbers = answered(bench)[-1]
    line, curve = numbers["paths"]
    middle = {split: line["splits"][split]["points"][2] for split in ("train", "validation")}
    weights = {name: 0.5 * (one + other) for (name, one), other in zip(
        bench.engine.checkpoint(STRANGERS[0]).items(), bench.engine.checkpoint(STRANGERS[1]).values(), strict=True,
    )}  # fmt: skip
    for split, point in middle.items():
        config = bench.engine.opened(STRANGERS[0]).config
        (score,) = bench.evaluator.scores(config, weights, parts_of(bench.tasks, split, "full"))
        assert point["t"] == 0.5 and abs(point["loss"] - score.loss) < 1e-4 and point["accuracy"] == score.accuracy
    assert (line["what"], curve["what"]) == ("line", "curve")
    assert curve["splits"]["train"]["points"][0] == line["splits"]["train"]["points"][0]
    assert curve["splits"]["train"]["points"][2]["loss"] != line["splits"]["train"]["points"][2]["loss"]


def test_it_grows_while_one_looks_and_says_so_afterwards(bench: StudyBench) -> None:
    findings = answered(bench)
    last = findings[-1]
    assert [row["step"] for row in last["growth"]] == [0, 1, 2, 3, 4]
    grown = [len(numbers["growth"]) for numbers in findings]
    assert grown[0] == 0 and grown == sorted(grown)
    assert any(numbers["step"] == 2 and len(numbers["paths"]) == 2 for numbers in findings)
    assert "on the Bezier curve after 4 of 4 steps" in last["sentence"]


def test_an_attack_is_judged_beside_pictures_as_they_are(bench: StudyBench) -> None:
    attack = {"against": "linf", "linf": 0.05, "attack_steps": 2, "attack_step": 0.5}
    robust, plain = (answered(bench, **attack, learn_from=how)[-1] for how in ("attacked", "clean"))
    untouched = answered(bench)[-1]
    assert [(path["what"], path["under"]) for path in robust["paths"]] == [
        ("line", "clean"), ("line", "linf"), ("curve", "clean"), ("curve", "linf"),
    ]  # fmt: skip
    clean, attacked = (path["splits"]["validation"]["points"] for path in robust["paths"][:2])
    assert all(hurt["loss"] >= fine["loss"] - 1e-6 for hurt, fine in zip(attacked, clean, strict=True))
    assert attacked[0]["loss"] > clean[0]["loss"]
    assert plain["paths"][2] == untouched["paths"][1] != robust["paths"][2]
    assert robust["attacks"][0]["words"] == "ℓ∞ attack, ε 0.05, 2 steps of 0.025"


def test_tasks_that_cannot_be_learned_from_are_refused_before_anything_is_measured(bench: StudyBench) -> None:
    memory = Memory()
    wrong = replace(bench, tasks=(replace(cast("Task", bench.tasks[0]), metric="perplexity"),))
    spec = small_spec(CURVE, models=STRANGERS)
    with pytest.raises(EvaluationError, match="a task with classes"):
        next(CURVE.answer(spec, wrong, memory))
    assert list(memory) == []


def score(losses: list[float], right: list[bool]) -> TaskScore:
    n = len(losses)
    values = numpy.array(losses, dtype=numpy.float32)
    return make_score("t", "T", "train", n, numpy.arange(n), numpy.array(right), values)


def test_an_excess_is_as_sure_as_its_pairs() -> None:
    noise = numpy.random.default_rng(0).normal(size=400)
    worse = score(list(noise), [True] * 400)
    above = score(list(noise + 0.5), [False] * 40 + [True] * 360)
    low, high = excess_interval([worse], [above], "loss") or (0.0, 0.0)
    assert abs(low - 0.5) < 1e-5 and abs(high - 0.5) < 1e-5
    low, high = excess_interval([worse], [above], "error") or (0.0, 0.0)
    assert low < 0.1 < high and low > 0.05 and high < 0.15
    assert excess_interval([worse], [score([numpy.inf] * 400, [False] * 400)], "loss") is None
