"""How a comparison is written, row by row: aligned text, JSON, CSV, Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from merging_core.cli.output import plain
from merging_core.cli.tables import interval, percent
from merging_core.evaluation.report import Report
from merging_core.methods.recorded import gain_in_words, settings_in_words
from merging_core.search import Entry, Question, Reference, Row, Skipped
from merging_core.search.document import head, measured_on_test

__all__ = ["FORMS"]

Tell = Callable[[str], None]


class Form(Protocol):
    """Writes the beginning, each row as it comes, and the end."""

    def begin(self) -> None:
        """Write what stands before the first row."""

    def row(self, row: Row) -> None:
        """Write one row, or keep it for the end."""

    def kept(self, row: Mapping[str, Any]) -> None:
        """Write a row that is JSON already; only the form of JSON is given any."""

    def end(self) -> None:
        """Write what stands after the last row."""


class _Measured:
    """A form that is given measured rows alone."""

    def kept(self, row: Mapping[str, Any]) -> None:
        raise AssertionError("kept rows are JSON")


class _Lines(_Measured):
    """What the forms for people share: one line a row, and at the end the methods that have none."""

    def __init__(self, question: Question, pins: Mapping[str, str], tell: Tell) -> None:
        self._question, self._pins, self._tell = question, pins, tell
        self._rows: list[Row] = []
        columns = ["method", "average %", "95 % interval"]
        if question.search:
            columns += ["searched %", "95 % interval", "gain", "tried", "found"]
        self._header = [*columns, *([] if question.search else [task.name for task in question.tasks]), "s"]

    def row(self, row: Row) -> None:
        self._rows.append(row)
        if not isinstance(row, Skipped):
            self._tell(self._line(self._cells(row)))

    def end(self) -> None:
        skipped = [row for row in self._rows if isinstance(row, Skipped)]
        if skipped:
            self._tell(self._after("Not in the table:", [f"{row.title}: {row.reason}" for row in skipped]))
        self._tell(self._after(self._question.words(), self._counted()))

    def _cells(self, row: Reference | Entry) -> list[str]:
        report = row.report if isinstance(row, Reference) else row.defaults.report
        label = f"({row.title})" if isinstance(row, Reference) else row.title
        if report.transductive:
            label += ", transductive"
        cells = [label, *_numbers(report)]
        if self._question.search:
            cells += _found(row) if isinstance(row, Entry) else [""] * 5
        else:
            cells += [percent(score.accuracy) for score in report.tasks]
        return [*cells, f"{row.seconds:.1f}" if isinstance(row, Entry) else ""]

    def _counted(self) -> list[str]:
        taken = measured_on_test(self._question.split, [row.as_json() for row in self._rows])
        said = ["Gain: searched − defaults in points, paired. Intervals are 95 %."] if self._question.search else []
        return [*said, f"{taken} models were measured on test."] if taken else said

    def _line(self, cells: Sequence[str]) -> str:
        raise AssertionError("a form writes its lines")

    def _after(self, first: str, rest: Sequence[str]) -> str:
        raise AssertionError("a form writes its end")


class Table(_Lines):
    """Aligned columns, whose widths are known before the first row."""

    def begin(self) -> None:
        titles = [info.title for info in self._question.infos]
        first = max(len(title) for title in [*titles, "(Each task’s own expert)"])
        self._widths = [first, *(max(len(name), 13 if "interval" in name else 5) for name in self._header[1:])]
        if self._question.search:
            self._widths[self._header.index("gain")] = len("+10.0 (+10.0 to +10.0)")
            self._widths[self._header.index("found")] = len("λ 0.75, density 0.25, gamma 0.05")
        self._tell(self._line(self._header))

    def _line(self, cells: Sequence[str]) -> str:
        flush = {"average %", "searched %", "tried", "s", *(task.name for task in self._question.tasks)}
        pairs = zip(cells, self._header, self._widths, strict=True)
        return "  ".join(
            cell.rjust(width) if name in flush else cell.ljust(width) for cell, name, width in pairs
        ).rstrip()

    def _after(self, first: str, rest: Sequence[str]) -> str:
        return "\n".join(["", first, *rest])


class Markdown(_Lines):
    """A table as Markdown, and lists below it."""

    def begin(self) -> None:
        self._tell(self._line(self._header))
        self._tell(self._line(["---"] * len(self._header)))

    def _line(self, cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def _after(self, first: str, rest: Sequence[str]) -> str:
        return "\n".join(["", first, *(f"- {line}" for line in rest)])


class Csv(_Measured):
    """One line for each model and task, numbers as fractions."""

    def __init__(self, question: Question, pins: Mapping[str, str], tell: Tell) -> None:
        self._question, self._tell = question, tell

    def begin(self) -> None:
        self._write("row", "method", "settings", "tried", "split", "task", "accuracy", "low", "high", "n", "reason")

    def row(self, row: Row) -> None:
        if isinstance(row, Skipped):
            self._write("not in the table", row.method, "", "", "", "", "", "", "", "", row.reason)
        elif isinstance(row, Reference):
            self._report("reference", row.name, "", "", row.report)
        else:
            self._report("defaults", row.method, "", "1", row.defaults.report)
            if row.found is not None:
                words = settings_in_words(row.found.settings)
                self._report("searched", row.method, words, str(row.found.tried), row.found.outcome.report)

    def end(self) -> None:
        """Nothing stands after the last row of a table for programs."""

    def _report(self, kind: str, name: str, settings: str, tried: str, report: Report) -> None:
        low, high = report.average_interval
        own = (kind, name, settings, tried, report.split)
        self._write(*own, "average", f"{report.average:.6g}", f"{low:.6g}", f"{high:.6g}", str(report.n), "")
        for score in report.tasks:
            low, high = score.interval
            self._write(*own, score.task, f"{score.accuracy:.6g}", f"{low:.6g}", f"{high:.6g}", str(score.n), "")

    def _write(self, *cells: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(cells)
        self._tell(text.getvalue())


class Json:
    """One JSON document with one line for each row."""

    def __init__(self, question: Question, pins: Mapping[str, str], tell: Tell) -> None:
        self._question, self._pins, self._tell = question, pins, tell
        self._rows: list[Mapping[str, Any]] = []

    def begin(self) -> None:
        lines = [f" {_json(key)}: {_json(value)}," for key, value in head(self._question, self._pins).items()]
        self._tell("\n".join(["{", *lines, ' "rows": [']))

    def row(self, row: Row) -> None:
        self.kept(row.as_json())

    def kept(self, row: Mapping[str, Any]) -> None:
        """Write a row that is JSON already."""
        if self._rows:
            self._tell(f"  {_json(self._rows[-1])},")
        self._rows.append(row)

    def end(self) -> None:
        if self._rows:
            self._tell(f"  {_json(self._rows[-1])}")
        taken = measured_on_test(self._question.split, self._rows)
        self._tell(f' ],\n "test_scores": {taken}\n}}')


FORMS: dict[str, Callable[[Question, Mapping[str, str], Tell], Form]] = {
    "table": Table,
    "json": Json,
    "csv": Csv,
    "markdown": Markdown,
}


def _numbers(report: Report) -> list[str]:
    return [percent(report.average), interval(report.average_interval)]


def _found(row: Entry) -> list[str]:
    if row.found is None:
        return [""] * 5
    gain = row.found.gain
    points = gain_in_words(gain.value, gain.interval) if row.found.settings else "0"
    report = row.found.outcome.report
    return [*_numbers(report), points, str(row.found.tried), settings_in_words(row.found.settings)]


def _json(value: object) -> str:
    return json.dumps(plain(value), allow_nan=False, ensure_ascii=False)
