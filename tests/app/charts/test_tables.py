"""Tables behind charts, worked by hand; and as files that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.charts import cosines
from app.charts.pictures import PictureError, render
from app.charts.tables import KINDS, csv_of, rows_of
from tests.app.charts.test_charts import accuracy_numbers, layer_numbers, path_numbers

NUMBERS = {
    "accuracy": accuracy_numbers(tasks=2, pinned=0.5),
    "path": path_numbers(),
    "layers": layer_numbers(),
    "cosines": layer_numbers(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_as_long_as_the_header_and_every_table_says_its_split(kind: str) -> None:
    header, rows = rows_of(kind, NUMBERS[kind])
    assert rows and {len(row) for row in rows} == {len(header)}
    assert len(set(header)) == len(header) and "split" in header
    assert all(row[header.index("split")] for row in rows)


def test_accuracy_has_a_row_for_each_task_and_model_and_one_set_for_the_mean() -> None:
    header, rows = rows_of("accuracy", NUMBERS["accuracy"])
    models = ["merge", "base", "its expert", "simple average", "output ensemble", "pinned merge"]
    assert [row[2] for row in rows] == 3 * models
    assert rows[0] == (
        *("tiny/0", "Digits", "merge", 0.7, 0.6, 0.78, 0.9),
        *(None, None, None, 32, "validation", "preview", "no"),
    )
    assert dict(zip(header, rows[1], strict=True))["accuracy (fraction)"] == 0.4
    mean = dict(zip(header, rows[12], strict=True))
    assert (mean["task"], mean["n (examples)"], mean["normalised (merged / expert)"]) == ("average", 64, 0.74)
    assert (mean["normalised 95 % low"], mean["normalised 95 % high"]) == (0.7, 0.78)


def test_a_transductive_merge_is_labelled_in_its_rows() -> None:
    header, rows = rows_of("accuracy", {**NUMBERS["accuracy"], "transductive": True})
    column = header.index("transductive")
    assert {row[column] for row in rows if row[2] == "merge"} == {"yes"}
    assert {row[column] for row in rows if row[2] == "base"} == {None}


def test_a_path_has_each_point_once_for_the_mean_and_once_for_each_task_of_each_split() -> None:
    header, rows = rows_of("path", NUMBERS["path"])
    assert len(rows) == 2 * 3 * (1 + 2)
    assert header[2] == "lambda"
    assert rows[3] == ("base", "λ = 1.5", 0.75, "mean", "mean over tasks", 2.0, 0.5, 0.4, 0.6, 192, "validation")
    assert rows[5][3:9] == ("b", "B", 2.0, 0.6, None, None)
    assert {row[-1] for row in rows[9:]} == {"train"}
    assert rows_of("path", {**NUMBERS["path"], "kind": "between"})[0][2] == "t (0 is from, 1 is to)"


def test_layers_have_the_merge_and_each_expert_at_each_depth() -> None:
    _, rows = rows_of("layers", NUMBERS["layers"])
    assert rows[4] == ("1", "merge", "merge", 1.5, 1.0, None, 0.3, "weights only")
    assert rows[3][:2] == ("0", "zoo:a") and rows[3][3:7] == (None, 0.2, 0.2, None)
    unmasked = rows_of("layers", {**NUMBERS["layers"], "kept": None})[1]
    assert unmasked[3][5] is None


def test_an_unknown_kind_is_named_with_its_neighbour() -> None:
    with pytest.raises(PictureError, match="did you mean “layers”"):
        rows_of("layer", {})


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_no_text_cell_is_a_formula_and_every_cell_reads_back(text: str) -> None:
    written = csv_of(["name"], [(text,), (-1.5e-7,), (None,)])
    first, number, empty = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert not (first and first[0].startswith(("=", "+", "-", "@", "\t", "\r")))
    assert (first or [""])[0].removeprefix("'") == text.removeprefix("'")
    assert float(number[0]) == -1.5e-7 and empty == [""]


def test_the_matrix_of_cosines_leaves_out_its_diagonal_and_can_be_drawn() -> None:
    experts = [{"ref": f"zoo:{name}", "title": name, "colour": i, "norms": []} for i, name in enumerate("ab")]
    made = cosines.figure_of({**layer_numbers(), "experts": experts, "cosines": [[1.0, -0.2], [-0.2, 1.0]]})
    cells, faint, full = made["data"]
    assert cells["z"] == [[None, -0.2], [-0.2, None]]
    assert (full["text"], full["x"], full["y"], faint["text"]) == (["−0.20", "−0.20"], [1, 0], [0, 1], [])
    assert (cells["zmin"], cells["zmax"]) == (-0.2, 0.2)
    assert render(made, form="svg")
    assert cosines.figure_of(layer_numbers())["data"][0]["zmax"] == 1.0
