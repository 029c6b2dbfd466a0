"""The recorded comparisons are of the methods, the defaults and the zoo that are here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from merging_core.cli.targets import open_bench
from merging_core.engines import make_plan
from merging_core.evaluation.evaluator import Evaluator
from merging_core.methods.recorded import read, sentence
from merging_core.methods.registry import methods
from merging_core.recipes import parse_recipe

FOLDER = Path(__file__).parents[2] / "docs" / "data"
DOCUMENTS = read([FOLDER / f"zoo-{name}.json" for name in ("six", "two", "one")])
ROWS: dict[str, Any] = {
    row["method"]: row
    for document in reversed(DOCUMENTS)
    for row in document["rows"]
    if row["kind"] == "method"
}  # fmt: skip


@pytest.mark.parametrize("name", [info.name for info in methods()])
def test_every_method_has_a_result_or_a_reason(name: str) -> None:
    assert sentence(name, DOCUMENTS).startswith("On the zoo"), "run `make comparison docs`"


def test_what_was_measured_are_the_defaults_of_today_on_the_zoo_of_today() -> None:
    catalog = open_bench().catalog
    old = {}
    for name, row in ROWS.items():
        models = [{"ref": entry["ref"]} for entry in row["defaults"]["recipe"]["models"]]
        base = row["defaults"]["recipe"]["base"]
        recipe = parse_recipe({"version": 1, "base": base, "models": models, "method": {"name": name}})
        if make_plan(recipe, catalog).hash != row["defaults"]["hash"]:
            old[name] = row["defaults"]["hash"]
    assert old == {}, "run `make comparison docs`"


@pytest.mark.parametrize("name", ["task_arithmetic", "slerp"])
def test_a_recorded_number_is_measured_again(name: str) -> None:
    bench = open_bench()
    row = ROWS[name]["found"]
    tasks = bench.tasks(bench.zoo.family("tiny"), [score["task"] for score in row["tasks"]])
    merged = bench.engine().merge(parse_recipe(row["recipe"]))
    assert merged.hash == row["hash"]
    config = merged.plan.survey.reference.config
    report = Evaluator("cpu").evaluate(config, merged.weights, tasks, "test")
    assert report.average == pytest.approx(row["average"]["accuracy"], abs=2 / report.n)
    assert list(report.average_interval) == pytest.approx(row["average"]["interval"], abs=0.005)


def test_settings_were_chosen_by_validation_and_shown_on_test() -> None:
    for document in DOCUMENTS:
        assert (document["split"], document["search"]) == ("test", True)
        assert document["test_scores"] > 0
        assert json.dumps(document["pins"]).count("@") == len(document["models"]) + 1
