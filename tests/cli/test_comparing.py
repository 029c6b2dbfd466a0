"""`compare`: the same numbers in every form, row by row."""

from __future__ import annotations

import csv
import io

import pytest

from merging_core.evaluation.percent import percent
from merging_core.methods.registry import method
from tests.cli.conftest import Answer, Run, Write

ASKED = (
    "compare",
    "--models",
    "zoo:basins/left,zoo:basins/right",
    "--method",
    "ties",
    "--method",
    "wise_ft",
    "--search",
)


@pytest.fixture
def document(run: Run) -> Answer:
    return run(*ASKED, "--json")


def test_a_comparison_has_references_rows_and_reasons(document: Answer) -> None:
    found = document.document
    assert (document.status, document.err) == (0, "")
    assert [row.get("name", row.get("method")) for row in found["rows"]][-3:] == ["ensemble", "wise_ft", "ties"]
    assert (found["base"], found["split"], found["test_scores"]) == ("zoo:basins/start", "validation", 0)
    assert found["pins"]["zoo:basins/left"].startswith("zoo:basins/left@")
    entry = found["rows"][-1]
    low, high = entry["defaults"]["average"]["interval"]
    assert low <= entry["defaults"]["average"]["accuracy"] <= high
    assert (entry["defaults"]["n"], 1 < entry["found"]["tried"] <= found["budget"]) == (100, True)


def test_every_form_shows_the_numbers_of_the_document(run: Run, document: Answer) -> None:
    entry = document.document["rows"][-1]
    accuracy = entry["defaults"]["average"]["accuracy"]
    title = method("ties").title
    lines = run(*ASKED).out.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{title} ")]
    assert line.split()[1] == percent(accuracy)
    assert any(line.startswith("WiSE-FT: models: WiSE-FT takes exactly 1 model") for line in lines)
    assert document.document["words"] in lines
    marked = run(*ASKED, "--format", "markdown").out.splitlines()
    (cells,) = [line.split(" | ") for line in marked if line.startswith(f"| {title} |")]
    assert cells[1] == percent(accuracy)
    assert len({line.count("|") for line in marked if line.startswith("| ")}) == 1
    table = list(csv.DictReader(io.StringIO(run(*ASKED, "--format", "csv").out)))
    (row,) = [row for row in table if (row["row"], row["method"], row["task"]) == ("defaults", "ties", "average")]
    assert float(row["accuracy"]) == pytest.approx(accuracy, abs=1e-6)


def test_what_cannot_be_compared_is_said_before_anything_is_measured(run: Run) -> None:
    wrong = run("compare", "--method", "tiess")
    assert (wrong.status, wrong.out) == (2, "")
    assert "did you mean “ties”?" in wrong.err
    strangers = run("compare", "--models", "zoo:tiny/digits,zoo:basins/left", "--task", "digits")
    assert strangers.status == 2
    assert "(Simple average)" not in strangers.out


def test_rows_of_an_earlier_answer_are_kept_and_only_what_is_missing_is_measured(
    run: Run, document: Answer, write: Write
) -> None:
    earlier = document.document
    earlier["rows"][-1]["seconds"] = 12345.0
    again = run(*ASKED, "--method", "linear", "--json", "--keep", write("earlier.json", earlier))
    rows = [row for row in again.document["rows"] if row["kind"] == "method"]
    assert [row["method"] for row in rows] == ["linear", "ties"]
    assert rows[1] == earlier["rows"][-1]
    assert rows[0]["seconds"] < 12345.0


def test_what_is_kept_is_an_answer_and_goes_with_json(run: Run, write: Write) -> None:
    wrong = run(*ASKED, "--json", "--keep", write("earlier.json", "[]"))
    assert (wrong.status, wrong.out) == (2, "")
    assert "--keep: an earlier answer can be read" in wrong.err
    assert "--keep goes with --json" in run(*ASKED, "--keep", write("other.json", {})).err
