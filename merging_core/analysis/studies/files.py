"""What a study leaves in a folder: its numbers as JSON, each table as CSV, and what was measured, to go on with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from merging_core.analysis.studies.contract import Finding, Table
from merging_core.analysis.studies.spec import StudySpec
from merging_core.spreadsheets import csv_of

__all__ = ["MEMORY", "NUMBERS", "document_of", "write_tables", "write_whole"]

NUMBERS, MEMORY = "numbers.json", "memory.npz"


def document_of(spec: StudySpec, found: Finding) -> dict[str, object]:
    """Return what was asked and what was found as one JSON document."""
    return {"spec": spec.as_json(), "share": found.share, "complete": found.complete, **found.numbers}


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write a CSV for each table into a folder."""
    for name, table in tables.items():
        write_whole(folder / f"{name}.csv", csv_of(table.header, table.rows).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file: the old one stays or the new one stands there, never half of it."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
