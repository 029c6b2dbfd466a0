"""All methods on the same experts: what is chosen by, what is shown, and what does not apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy
import pytest

from merging_core.cli.targets import Bench, open_bench
from merging_core.engines import LiveEngine
from merging_core.errors import CancelledError
from merging_core.evaluation.evaluator import Evaluator, Part
from merging_core.recipes import parse_recipe
from merging_core.search import Entry, Question, Reference, Row, Skipped, compared
from merging_core.search.document import head, measured_on_test, rows_that_hold

EXPERTS = ("zoo:basins/left", "zoo:basins/right")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return open_bench()


@pytest.fixture(scope="module")
def engine(bench: Bench) -> LiveEngine:
    return bench.engine()


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator("cpu")


@pytest.fixture(scope="module")
def question(bench: Bench) -> Question:
    tasks = bench.tasks(bench.zoo.family("basins"), ())
    experts = {"basins/digits": EXPERTS[1]}
    return Question("zoo:basins/start", EXPERTS, tasks, experts, methods=("task_arithmetic", "ties", "wise_ft"))


@pytest.fixture(scope="module")
def rows(question: Question, engine: LiveEngine, evaluator: Evaluator) -> list[Row]:
    return list(compared(replace(question, search=True), engine, evaluator))


def examples(parts: Sequence[Part]) -> dict[str, set[int]]:
    return {part.task.name: {part.task.splits[part.split].order[i] for i in range(part.start, part.stop)}
            for part in parts}  # fmt: skip


def test_what_settings_are_chosen_by_and_what_is_shown_share_no_example(question: Question) -> None:
    asked = replace(question, search=True)
    chosen, shown = examples(asked.chosen_by), examples(asked.shown)
    for task in question.tasks:
        assert chosen[task.name] & shown[task.name] == set()
        assert len(chosen[task.name] | shown[task.name]) == len(task.splits["validation"])
        labels = task.labels("validation").tolist()
        counts = numpy.bincount([labels[example] for example in chosen[task.name]])
        assert counts.max() - counts.min() <= 1


def test_settings_are_never_chosen_by_test(question: Question) -> None:
    asked = replace(question, search=True, split="test")
    assert {part.split for part in asked.chosen_by} == {"validation"}
    assert {part.split for part in asked.shown} == {"test"}


def test_the_numbers_are_those_of_the_evaluator(question: Question, rows: list[Row], bench: Bench) -> None:
    entry = next(row for row in rows if isinstance(row, Entry) and row.method == "ties")
    asked = replace(question, search=True)
    recipe = parse_recipe(
        {"version": 1, "base": question.base, "models": [{"ref": ref} for ref in EXPERTS], "method": {"name": "ties"}}
    )
    assert entry.defaults.recipe == recipe
    merged = bench.engine().merge(recipe)
    config = merged.plan.survey.reference.config
    again = Evaluator("cpu").scores(config, merged.weights, asked.shown)
    assert entry.defaults.hash == merged.hash
    for score, wanted in zip(entry.defaults.report.tasks, again, strict=True):
        assert score.correct.tolist() == wanted.correct.tolist()
        assert (score.n, score.of) == (wanted.n, 2 * wanted.n)


def test_a_found_setting_did_best_where_it_was_chosen_and_says_how_many_were_tried(
    question: Question, rows: list[Row], engine: LiveEngine, evaluator: Evaluator
) -> None:
    asked = replace(question, search=True)
    for row in rows:
        if not isinstance(row, Entry):
            continue
        assert row.found is not None
        assert 1 < row.found.tried <= asked.budget
        at = []
        for recipe in (row.defaults.recipe, row.found.outcome.recipe):
            merged = engine.merge(recipe)
            config = merged.plan.survey.reference.config
            scores = evaluator.scores(config, merged.weights, asked.chosen_by)
            at.append(sum(score.accuracy for score in scores) / len(scores))
        assert at[0] <= at[1] == pytest.approx(row.found.chosen_at)
        gain = row.found.outcome.report.average - row.defaults.report.average
        assert row.found.gain.value == pytest.approx(gain)


def test_a_method_that_does_not_apply_says_why_and_references_come_first(rows: list[Row]) -> None:
    assert [row.name for row in rows if isinstance(row, Reference)] == ["base", "experts", "average", "ensemble"]
    assert [type(row) for row in rows[4:]] == [Skipped, Entry, Entry]
    (skipped,) = [row for row in rows if isinstance(row, Skipped)]
    assert (skipped.method, "exactly 1 model, but 2 came" in skipped.reason) == ("wise_ft", True)


def test_the_same_question_has_the_same_answers(
    question: Question, rows: list[Row], engine: LiveEngine, evaluator: Evaluator
) -> None:
    def lasting(found: list[Row]) -> list[dict[str, object]]:
        return [{key: value for key, value in row.as_json().items() if key != "seconds"} for row in found]

    assert lasting(list(compared(replace(question, search=True), engine, evaluator))) == lasting(rows)


def test_a_comparison_stops_between_two_merges(question: Question, engine: LiveEngine, evaluator: Evaluator) -> None:
    heard: list[str] = []
    steps = compared(
        question, engine, evaluator, cancelled=lambda: "TIES" in heard, progress=lambda share, what: heard.append(what)
    )
    found: list[Row] = []
    with pytest.raises(CancelledError):
        found.extend(steps)
    assert "ties" not in [row.method for row in found if isinstance(row, Entry)]


def test_without_a_base_only_what_needs_none_is_compared(
    question: Question, engine: LiveEngine, evaluator: Evaluator
) -> None:
    asked = replace(question, base=None, methods=("linear", "ties"))
    found = list(compared(asked, engine, evaluator))
    assert [row.name for row in found if isinstance(row, Reference)] == ["experts", "average", "ensemble"]
    assert [row.method for row in found if isinstance(row, Entry)] == ["linear"]
    assert ["base" in row.reason for row in found if isinstance(row, Skipped)] == [True]


def test_a_document_says_how_many_models_were_measured_on_test(question: Question, rows: list[Row]) -> None:
    plain = [row.as_json() for row in rows]
    assert measured_on_test("validation", plain) == 0
    changed = sum(isinstance(row, Entry) and bool(row.found and row.found.settings) for row in rows)
    assert measured_on_test("test", plain) == 4 + 2 + changed
    said = head(replace(question, search=True), {})
    assert (said["n"], said["chosen_by"]) == (100, 100)


def test_rows_hold_while_question_versions_and_defaults_are_the_same(question: Question, rows: list[Row]) -> None:
    said = head(question, {})
    document = {**said, "rows": [row.as_json() for row in rows]}
    now = {row.method: row.defaults.hash for row in rows if isinstance(row, Entry)}
    assert set(rows_that_hold(document, said, now.get)) == {"task_arithmetic", "ties"}
    assert set(rows_that_hold(document, said, {**now, "ties": "another"}.get)) == {"task_arithmetic"}
    assert rows_that_hold(document, head(replace(question, search=True), {}), now.get) == {}
