"""What holds for every study: coarse at once, the same whether interrupted or not, honest about what was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest

from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from merging_core.analysis.studies.contract import Finding, Study, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.registry import studies
from merging_core.analysis.studies.spec import StudySpec
from merging_core.errors import CancelledError
from merging_core.evaluation.evaluator import Evaluator
from tests.analysis.studies.small import REFS, small_bench, small_spec

EVERY = pytest.mark.parametrize("info", studies(), ids=lambda info: info.name)
Wholes = dict[str, tuple[list[Finding], Memory]]
MOST = 400
"""Findings that a small study has at most."""
BREAKS = 6
"""How often a study is interrupted, ever further on."""


class Idle(Evaluator):
    """Measures nothing: whoever asks has forgotten what is known."""

    def _outputs(self, *_: object) -> Any:
        raise AssertionError("what was measured is measured again")


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


@pytest.fixture(scope="module")
def wholes(bench: StudyBench) -> Wholes:
    """All findings of each study, asked once and not interrupted, and what was measured for them."""
    found = {}
    for info in studies():
        memory = Memory()
        found[info.name] = list(islice(answers(info, bench, memory), MOST)), memory
    return found


def answers(info: Study, bench: StudyBench, memory: Memory, spec: StudySpec | None = None) -> Iterator[Finding]:
    return info.answer(spec or small_spec(info), bench, memory)


def assert_alike(a: object, b: object, where: str = "numbers") -> None:
    """Numbers agree to single precision, everything else to the letter."""
    assert type(a) is type(b) or {type(a), type(b)} == {int, float}, where
    if isinstance(a, dict) and isinstance(b, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_alike(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), where
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_alike(one, other, f"{where}[{place}]")
    elif isinstance(a, float) and isinstance(b, float):
        assert math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5), where
    else:
        assert a == b, where


def plain(finding: Finding) -> object:
    """The numbers of a finding as whoever gets them as JSON reads them."""
    return json.loads(json.dumps(finding.numbers, allow_nan=False))


@EVERY
def test_it_comes_to_an_end_and_says_how_far_it_is(info: Study, wholes: Wholes) -> None:
    findings, _ = wholes[info.name]
    shares = [finding.share for finding in findings]
    assert shares == sorted(shares) and shares[0] > 0.0 and shares[-1] == 1.0
    assert [finding.complete for finding in findings].count(True) == 1
    assert any(finding.long for finding in findings) == info.learns(small_spec(info).params)
    assert not findings[-1].long


@EVERY
def test_the_first_finding_comes_before_everything_is_measured(info: Study, bench: StudyBench, wholes: Wholes) -> None:
    findings, whole = wholes[info.name]
    memory = Memory()
    first = next(answers(info, bench, memory))
    assert_alike(plain(first), plain(findings[0]))
    if info.measures:
        assert len(findings) > 1 and cast("dict[str, Any]", first.numbers)["partial"] is True
        assert memory.nbytes < whole.nbytes


@EVERY
def test_interrupted_again_and_again_it_says_the_same_in_the_end(
    info: Study, bench: StudyBench, wholes: Wholes
) -> None:
    findings, whole = wholes[info.name]
    memory = Memory()
    places = sorted({max(1, len(findings) * place // BREAKS) for place in range(BREAKS)} | {MOST})
    for taken in places:
        asked = answers(info, bench, memory)
        *_, last = islice(asked, taken)
        cast("Any", asked).close()
    assert last.complete
    assert_alike(plain(last), plain(findings[-1]))
    assert sorted(memory) == sorted(whole)


@EVERY
def test_what_a_file_kept_is_not_measured_again(info: Study, bench: StudyBench, wholes: Wholes, tmp_path: Path) -> None:
    findings, whole = wholes[info.name]
    identity = small_spec(info).identity(bench)
    whole.save(tmp_path / "memory.npz", identity)
    loaded = Memory.load(tmp_path / "memory.npz", identity)
    *_, last = answers(info, replace(bench, evaluator=Idle("cpu", workers=1)), loaded)
    assert_alike(plain(last), plain(findings[-1]))


@EVERY
def test_every_finding_says_what_was_measured(info: Study, wholes: Wholes) -> None:
    findings, _ = wholes[info.name]
    spec = small_spec(info)
    for finding in findings:
        numbers = cast("dict[str, Any]", plain(finding))
        assert numbers["sentence"].endswith(".") and "\n" not in numbers["sentence"]
        assert len(numbers["models"]) == len(spec.models) and all(isinstance(one, str) for one in numbers["models"])
        assert set(numbers["n"]) <= set(spec.splits) and all(n > 0 for n in numbers["n"].values())
        assert isinstance(numbers["partial"], bool)
    assert numbers["partial"] is False
    if info.measures:
        assert set(numbers["n"]) == set(spec.splits)
        assert all(split in numbers["sentence"] for split in spec.splits)


@EVERY
def test_a_preview_stays_partial(info: Study, bench: StudyBench) -> None:
    if not info.measures:
        return
    *_, last = answers(info, bench, Memory(), small_spec(info, subset="preview"))
    assert last.complete and cast("dict[str, Any]", last.numbers)["partial"] is True


@EVERY
def test_every_table_is_rectangular(info: Study, wholes: Wholes) -> None:
    findings, _ = wholes[info.name]
    for finding in (findings[0], findings[-1]):
        tables = info.tables(cast("dict[str, Any]", plain(finding)))
        for table in tables.values():
            assert table.title and len(set(table.header)) == len(table.header) > 0
            assert all(len(row) == len(table.header) for row in table.rows)
            assert all(cell is None or isinstance(cell, str | int | float) for row in table.rows for cell in row)
    assert tables and all(table.rows for table in tables.values())


@EVERY
def test_every_figure_can_be_drawn(info: Study, wholes: Wholes) -> None:
    findings, _ = wholes[info.name]
    drawn = drawing(info.name)
    if drawn is None:
        return
    spec = small_spec(info)
    models = [{"ref": ref, "title": ref[-8:], "colour": place} for place, ref in enumerate(spec.labels)]
    about = {"models": models, "tasks": [{"task": "basins/digits", "title": "Digits", "colour": None}]}
    names, solid = [one.name for one in drawn.figures], [one.name for one in drawn.figures if one.solid]
    for finding in findings:
        figures = drawn.draw(cast("dict[str, Any]", plain(finding)), about)
        assert set(figures) <= set(names)
    assert list(figures), "the last finding has a figure"
    for name, figure in figures.items():
        json.dumps(figure, allow_nan=False)
        if name not in solid:
            assert render(figure, form="png", width=480, height=300, scale=0.5).startswith(b"\x89PNG"), name


@EVERY
def test_nobody_waits_for_a_cancelled_study(info: Study, bench: StudyBench) -> None:
    with pytest.raises(CancelledError):
        list(answers(info, replace(bench, cancelled=lambda: True), Memory()))
    late: list[bool] = []
    asked = answers(info, replace(bench, cancelled=lambda: bool(late)), Memory())
    if not next(asked).complete:
        late.append(True)
        with pytest.raises(CancelledError):
            list(asked)


@EVERY
def test_it_takes_four_models_where_it_says_so(info: Study, bench: StudyBench) -> None:
    few, most = info.models
    spec = small_spec(info, models=list(REFS[: min(most or 4, 4)]), subset="preview")
    findings = list(islice(answers(info, bench, Memory(), spec), MOST))
    for finding in (findings[0], findings[-1]):
        assert len(cast("dict[str, Any]", plain(finding))["models"]) == len(spec.models) >= few
        info.tables(finding.numbers)


@EVERY
def test_a_merge_may_be_one_of_its_models(info: Study, bench: StudyBench) -> None:
    spec = small_spec(info)
    recipe = {
        "version": 1,
        "base": spec.base,
        "models": [{"ref": "zoo:basins/left"}, {"ref": "zoo:basins/right"}],
        "method": {"name": "task_arithmetic"},
    }
    models = [*(model for model in spec.models[:-1]), {"recipe": recipe}]
    first = next(answers(info, bench, Memory(), small_spec(info, models=models)))
    assert cast("dict[str, Any]", first.numbers)["models"] == [*spec.models[:-1], "merge"]
