"""A library as a table for other programs: CSV and Parquet, written by pandas."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas

from app.library.search import Row

__all__ = ["FORMS", "frame", "table_file"]

FORMS = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
"""The forms of a table, with the media type of each."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def frame(rows: Sequence[tuple[Row, Mapping[str, Any]]]) -> pandas.DataFrame:
    """Return one line a result: names, accuracy with its 95 % interval on average and per task, recipe, versions.

    `rows`: each row of the library with the plain values of its result. Accuracies are fractions on the validation
    split; `test` columns are empty where no test score was taken.
    """
    return pandas.DataFrame([_line(row, plain) for row, plain in rows])


def table_file(rows: Sequence[tuple[Row, Mapping[str, Any]]], form: Literal["csv", "parquet"]) -> bytes:
    """Return the table as a file.

    In CSV, text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    table = frame(rows)
    if form == "parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False, engine="pyarrow")
        return buffer.getvalue()
    for name in table.columns:
        if pandas.api.types.is_string_dtype(table[name]):
            table[name] = table[name].map(_harmless)
    return table.to_csv(index=False, lineterminator="\n").encode()


def _line(row: Row, plain: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, recipe, environment, test = plain["accuracy"], plain["recipe"], plain["environment"], plain["test"]
    low, high = accuracy["average"]["interval"] or (None, None)
    line: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "label": row.label,
        "tags": " · ".join(row.tags),
        "saved": row.at,
        "measured": plain["measured"],
        "imported": bool(row.more["imported"]),
        "family": row.family,
        "method": row.method,
        # One number where it is one; what varies stands in the recipe.
        "lambda": None if isinstance(recipe["lambda"], list) else float(recipe["lambda"]),
        "experts": len(recipe["models"]),
        "dtype": recipe["dtype"],
        "seed": int(recipe["seed"]),
        "split": accuracy["split"],
        "n": int(accuracy["n"]),
        "average": accuracy["average"]["accuracy"],
        "average low": low,
        "average high": high,
        "normalised": (accuracy["normalised"] or {}).get("value"),
        "test average": test["average"]["accuracy"] if test else None,
        "test n": test["n"] if test else None,
        "test scores taken": test["test_scores"] if test else None,
    }
    for task in accuracy["tasks"]:
        low, high = task["interval"] or (None, None)
        columns = {"": task["accuracy"], " low": low, " high": high, " n": task["n"]}
        line.update({f"{task['task']}{suffix}": value for suffix, value in columns.items()})
    return {
        **line,
        "recipe hash": plain["hash"],
        "evaluation": plain["evaluation"],
        **environment,
        "recipe": json.dumps(recipe, sort_keys=True, ensure_ascii=False),
    }


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
