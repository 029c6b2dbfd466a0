"""Comparisons of methods: a job whose rows are there as they come, and stay when it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.charts.comparison import figure_of
from app.charts.pictures import render
from app.comparing import work
from app.comparing.service import Comparisons
from app.jobs import Jobs
from app.live import Scheduler
from app.settings import Settings
from app.state import default_state, parse_state
from app.studio.bench import ZooBench
from merging_core.methods.registry import methods
from tests.app.test_jobs import until


@dataclass
class Room:
    """A server without a page."""

    bench: ZooBench
    jobs: Jobs
    comparisons: Comparisons

    def ask(self, visitor: str, name: str, message: dict[str, Any]) -> dict[str, Any]:
        answer = self.comparisons.functions()[name](visitor, message)
        found: dict[str, Any] = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        return found

    def state(self, experts: int = 2) -> dict[str, Any]:
        family = next(family for family in self.bench.families if family.name == "basins")
        state = default_state(family).as_json()
        state["recipe"]["models"] = [{"ref": expert.ref, "weight": 1.0} for expert in family.experts[:experts]]
        return parse_state(state, self.bench.families).as_json()

    def payload(self, state: dict[str, Any], search: bool = False) -> dict[str, Any]:
        family = next(family for family in self.bench.families if family.name == "basins")
        return self.comparisons._payload(parse_state(state, self.bench.families), family, search)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_DATA": str(tmp_path / "data")})
    bench, scheduler, jobs = ZooBench(settings), Scheduler(), Jobs(settings.scratch)
    yield Room(bench, jobs, Comparisons(bench, scheduler, jobs, settings))
    jobs.close()
    scheduler.close()


@dataclass
class Listener:
    """Stands in for the reporter of a job; stops the work once it has said so many rows."""

    stops_after: int = 1000
    said: list[str] = field(default_factory=list)

    def progress(self, share: float, what: str, done: int = 0) -> None:
        assert 0.0 <= share <= 1.0

    def log(self, text: str) -> None:
        self.said.append(text)

    def cancelled(self) -> bool:
        return len(self.said) >= self.stops_after


def test_a_comparison_is_a_job_with_a_row_or_a_reason_for_every_method(room: Room) -> None:
    state = room.state()
    begun = room.ask("ann", "comparison_start", {"state": state})
    assert begun["ok"], begun
    job = begun["job"]
    assert room.ask("ann", "comparison_start", {"state": {**state, "metric": "accuracy"}})["job"]["id"] == job["id"]
    seen: list[dict[str, Any]] = []

    def whole() -> dict[str, Any] | None:
        found = room.ask("ann", "comparison_rows", {"job": job["id"], "after": len(seen)})
        seen.extend(found["rows"])
        return found if found["job"]["state"] == "done" else None

    last = until(whole)
    seen.extend(room.ask("ann", "comparison_rows", {"job": job["id"], "after": len(seen)})["rows"])
    named = [row["method"] for row in seen if row["kind"] != "reference"]
    assert sorted(named) == sorted(info.name for info in methods())
    assert (last["head"]["state"], last["job"]["result"]["complete"]) == (state, True)
    entry = next(row for row in seen if row.get("method") == "ties")
    shown = room.bench.accuracy(
        parse_state({**state, "recipe": entry["defaults"]["recipe"]}, room.bench.families),
        "validation", "full", lambda: False,
    )  # fmt: skip
    assert entry["defaults"]["average"]["accuracy"] == shown.numbers["average"]["accuracy"]
    again = room.ask("ann", "comparison_start", {"state": state})["job"]
    assert (again["id"], again["state"]) == (job["id"], "done")
    other = room.ask("bob", "comparison_rows", {"job": job["id"]})
    assert other["problems"][0]["must"] == "a job is one of yours and still kept"


def test_a_comparison_that_is_stopped_keeps_its_rows_and_says_that_it_is_not_whole(room: Room, tmp_path: Path) -> None:
    listener = Listener(stops_after=6)
    result = work.compare(room.payload(room.state(), search=True), tmp_path, listener)  # type: ignore[arg-type]
    head, *rows = work.rows_in(tmp_path)
    assert (result["complete"], result["rows"], len(rows)) == (False, 6, 6)
    assert head["search"] is True
    entry = rows[-1]
    assert entry["found"]["recipe"]["models"] == entry["defaults"]["recipe"]["models"]
    late = {**room.payload(room.state()), "seconds": 0.0}
    assert work.compare(late, tmp_path, Listener())["late"] is True  # type: ignore[arg-type]


def test_a_line_that_is_not_whole_yet_is_not_read(tmp_path: Path) -> None:
    assert list(work.rows_in(tmp_path)) == []
    (tmp_path / work.ROWS).write_text('{"a": 1}\n{"b": ', encoding="utf-8")
    assert list(work.rows_in(tmp_path)) == [{"a": 1}]


def test_without_a_task_there_is_nothing_to_compare(room: Room) -> None:
    name = 'own:{"base":"zoo:basins/start","experts":[["zoo:basins/left",null]],"tasks":[]}'
    recipe = {**room.state()["recipe"], "models": [{"ref": "zoo:basins/left"}]}
    answer = room.ask("ann", "comparison_start", {"state": {**room.state(), "family": name, "recipe": recipe,
                                                            "path": {"kind": "lambda"}}})  # fmt: skip
    assert answer["problems"][0]["must"] == "methods are compared on tasks"
    assert room.ask("ann", "comparison_rows", {"job": "x", "after": -1})["ok"] is False


def row(name: str, accuracy: float, found: float | None = None) -> dict[str, Any]:
    def report(value: float) -> dict[str, Any]:
        return {"average": {"accuracy": value, "interval": [value - 0.1, value + 0.1]}, "n": 100}

    chosen = None if found is None else report(found)
    return {"kind": "method", "title": name, "transductive": name == "B", "defaults": report(accuracy), "found": chosen}


def test_the_chart_has_the_best_on_top_and_an_interval_on_every_point() -> None:
    rows = [row("A", 0.5, 0.6), row("B", 0.4, 0.7), {"kind": "skipped", "title": "C"}]
    figure = figure_of({"head": {}, "rows": rows})
    assert figure["layout"]["yaxis"]["ticktext"] == ["A", "B (transductive)"]
    searched = next(trace for trace in figure["data"] if trace["name"] == "searched")
    assert sorted(searched["x"]) == [0.6, 0.7]
    assert all(len(trace["error_x"]["array"]) == len(trace["x"]) for trace in figure["data"])
    assert render(figure, form="png").startswith(b"\x89PNG")
    assert figure_of({"head": {}, "rows": []})["data"] == []


def test_a_name_from_outside_is_inert_in_the_chart() -> None:
    figure = figure_of({"head": {}, "rows": [row("<b>$x$", 0.5)]})
    assert figure["layout"]["yaxis"]["ticktext"] == ["‹b›＄x＄"]
