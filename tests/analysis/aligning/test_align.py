"""Alignment as a study: strangers are brought together, relatives are left alone."""

from __future__ import annotations

from typing import Any, cast

import numpy
import pytest

from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.registry import study
from merging_core.checkpoints.zoo import load_zoo
from merging_core.errors import SpaceError
from merging_core.evaluation.loading import load_task
from tests.analysis.studies.small import small_bench, small_spec

ALIGN = study("align")


def asked(*models: str, **params: object) -> tuple[dict[str, Any], Memory]:
    memory = Memory()
    given = {"name": "align", "params": {"points": 3, **params}}
    spec = small_spec(ALIGN, models=list(models), study=given, splits=["train"])
    digits = load_task(load_zoo().task_folder("basins/digits"))
    *_, last = ALIGN.answer(spec, small_bench(tasks=(digits,)), memory)
    return cast("dict[str, Any]", last.numbers), memory


def middle(numbers: dict[str, Any], what: str) -> float:
    path = next(path for path in numbers["paths"] if path["what"] == what)
    return next(point["loss"] for point in path["splits"]["train"]["points"] if point["t"] == 0.5)


@pytest.mark.parametrize("match", ["correlation", "l2", "information"])
def test_strangers_come_closer_by_matching_and_closer_still_by_repair(match: str) -> None:
    numbers, memory = asked("zoo:basins/stranger-1", "zoo:basins/stranger-2", match=match)
    assert numbers["certificate"]["certified"] == numbers["certificate"]["of"] == 4
    assert not numbers["advice"]["aligned"] and numbers["advice"]["at_home"] < 0.1
    assert middle(numbers, "naive") > 2 * middle(numbers, "matched") > 2 * middle(numbers, "repaired")
    assert all(row["after"] > row["before"] + 0.3 and row["moved"] > 50 for row in numbers["classes"])
    assert all(0.9 < row["after"] < 1.1 and row["before"] < 0.9 for row in numbers["layers"])
    member = memory.get("member")
    assert member is not None and all(sorted(row) == list(range(64)) for row in member.values())


@pytest.mark.parametrize(("family", "groups"), [("basins-conv", 3), ("basins-transformer", 5)])
def test_strangers_with_normalisation_are_certified_whole_and_come_closer(family: str, groups: int) -> None:
    numbers, _ = asked(f"zoo:{family}/stranger-1", f"zoo:{family}/stranger-2")
    assert numbers["certificate"]["certified"] == numbers["certificate"]["of"] == groups
    assert not numbers["advice"]["aligned"]
    assert middle(numbers, "naive") > middle(numbers, "matched") > middle(numbers, "repaired")
    assert numbers["mended"] == ("statistics" if family == "basins-conv" else "repair")


def test_both_ends_of_every_way_are_the_models_themselves() -> None:
    numbers, _ = asked("zoo:basins/stranger-1", "zoo:basins/stranger-2", repair="nothing", match="weights", restarts=1)
    assert [path["what"] for path in numbers["paths"]] == ["naive", "matched"] and numbers["layers"] == []
    naive, matched = ({point["t"]: point for point in path["splits"]["train"]["points"]} for path in numbers["paths"])
    assert all(naive[t]["loss"] == pytest.approx(matched[t]["loss"], abs=1e-5) for t in (0.0, 1.0))
    assert numbers["gains"] == sorted(numbers["gains"]) and len(numbers["gains"]) > 2


def test_models_of_one_start_are_left_as_they_are() -> None:
    numbers, memory = asked("zoo:basins/left", "zoo:basins/right", match="weights")
    assert numbers["advice"]["aligned"] and "aligned already" in numbers["sentence"] and numbers["gains"] == []
    member = memory.get("member")
    assert member is not None and all((row == numpy.arange(64)).all() for row in member.values())
    assert middle(numbers, "naive") == middle(numbers, "matched")


STEPS = (
    {"match": "midpoint", "batch": 16},
    {"match": "sinkhorn", "batch": 16},
    {"match": "sinkhorn", "aim": "weights"},
)


@pytest.mark.parametrize("params", STEPS, ids=["midpoint", "sinkhorn", "weights"])
def test_a_search_by_steps_says_before_that_it_takes_long_and_goes_on_where_it_was_stopped(
    params: dict[str, object],
) -> None:
    memory = Memory()
    given = {"name": "align", "params": {"points": 3, "steps": 12, **params}}
    spec = small_spec(ALIGN, study=given)
    assert ALIGN.learns(spec.params) and not ALIGN.learns(small_spec(ALIGN).params)
    whole = list(ALIGN.answer(spec, small_bench(), Memory()))
    assert [finding.long for finding in whole].count(True) == 1 and not whole[-1].long
    for finding in ALIGN.answer(spec, small_bench(), memory):
        if len(cast("dict[str, Any]", finding.numbers)["gains"]) == 5:
            break
    kept = memory.get("search")
    assert kept is not None and kept["step"] == 5
    *_, last = ALIGN.answer(spec, small_bench(), memory)
    ends = [cast("dict[str, Any]", one.numbers) for one in (whole[-1], last)]
    assert ends[0]["classes"] == ends[1]["classes"] and any(row["moved"] for row in ends[0]["classes"])
    assert ends[0]["gains"] == ends[1]["gains"] == sorted(ends[0]["gains"]) and len(ends[0]["gains"]) == 12


def test_an_architecture_without_a_template_is_refused_by_name() -> None:
    from merging_core.alignment.templates import by_name

    with pytest.raises(SpaceError, match="template"):
        by_name({"model_type": "t5"}, {})
