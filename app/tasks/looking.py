"""What data are before anything is prepared: columns, class names, splits and sizes, and what would be made of them.

Of the Hub's data sets only the ends of shards are read, by plain Python; of this server's own folders only names, the
ends of shards and the first line of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tasks.local import columns_of_table, table_in
from app.tasks.roles import in_words, roles_of
from merging_core.checkpoints.files import open_regular
from merging_core.errors import CheckpointError, EvaluationError
from merging_core.evaluation.sources.folders import open_class_folders, open_table
from merging_core.evaluation.sources.footer import TAIL, Footer, footer_length, read_footer
from merging_core.evaluation.sources.pictures import PictureSet, canonical_split
from merging_core.evaluation.sources.shards import column_of_kind, shards_by_split
from merging_core.evaluation.sources.texts import TEXT_COLUMNS
from merging_core.hub.data_ref import DataRef
from merging_core.hub.data_sets import DataSets

__all__ = ["look_at_hub", "look_at_path", "proposed"]

_PICTURES = ("image", "img", "picture")
_LABELS = ("label", "labels", "fine_label", "class", "target")
_MOST_NAMES = 400


def look_at_hub(sets: DataSets, ref: DataRef, part: str | None) -> dict[str, Any]:
    """Describe a data set of the Hub at the commit that the reference means now.

    Raises: HubError; where it has several parts and none is chosen, the answer has their names and nothing else.
    """
    found = sets.list(ref)
    about = {"source": found.ref.text, "title": ref.path.rpartition("/")[2], "parts": sorted(found.parts)}
    if part is None and len(found.parts) > 1 and "default" not in found.parts:
        return {**about, "part": None, "splits": [], "bytes": 0, "made": "", **_columns({}, {})}
    splits = found.of(part)
    chosen = part if part is not None else next(name for name, one in found.parts.items() if one is splits)
    roles = roles_of(splits, {}, found.ref.label)
    ends = sets.ends(found.ref, [file for shards in roles.values() for file in shards])
    first = next(iter(ends.values()))
    taken = {id(shards): role for role, shards in roles.items()}
    rows = []
    for split, shards in splits.items():
        known = [ends[file.name].rows for file in shards if file.name in ends]
        rows.append(
            {
                "name": split,
                "role": taken.get(id(shards)),
                "rows": sum(known) if len(known) == len(shards) else None,
                "bytes": sum(file.size or 0 for file in shards),
            }
        )
    return {
        **about,
        "part": chosen,
        "splits": rows,
        "bytes": sets.missing_bytes(found.ref, [file for shards in roles.values() for file in shards]),
        "made": in_words(list(roles), 0),
        **_columns(first.columns, first.features),
    }


def look_at_path(path: Path, source: str, title: str) -> dict[str, Any]:
    """Describe data that lie on this server: a file or a folder. Raises: EvaluationError."""
    about = {"source": source, "title": title, "parts": ["default"], "part": "default", "bytes": 0}
    if path.suffix.lower() == ".csv":
        columns = dict.fromkeys(columns_of_table(path), "text")
        if proposed(columns, {})["kind"] == "pictures":
            return {**about, **_pictures(open_table(path, path.parent))}
        return {**about, "splits": [], "made": in_words(["all"], 0), **_columns(columns, {})}
    if path.is_dir() and next(path.rglob("*.parquet"), None) is None:
        table = table_in(path)
        found = open_table(table, path) if table is not None else open_class_folders(path)
        return {**about, **_pictures(found)}
    shards = shards_by_split(path)
    ends = {split: [_end(file) for file in files] for split, files in shards.items()}
    rows = [
        {"name": split, "role": split, "rows": sum(end.rows for end in found), "bytes": 0}
        for split, found in ends.items()
    ]
    first = next(iter(ends.values()))[0]
    return {**about, "splits": rows, "made": in_words(list(shards), 0), **_columns(first.columns, first.features)}


def proposed(columns: Mapping[str, str], features: Mapping[str, Any]) -> dict[str, str | None]:
    """Return which columns look like pictures or texts and labels; None where nothing does.

    >>> proposed({"sentence1": "text", "sentence2": "text", "label": "number"}, {})
    {'kind': 'texts', 'input': 'sentence1', 'second': 'sentence2', 'label': 'label'}
    """
    marked = column_of_kind(features, "ClassLabel")
    label = marked if marked in columns else next((name for name in _LABELS if name in columns), None)
    picture = column_of_kind(features, "Image")
    if picture not in columns:
        picture = next((name for name in _PICTURES if columns.get(name) in ("struct", "bytes")), None)
    if picture is None and "path" in columns and label is not None:
        return {"kind": "pictures", "input": None, "second": None, "label": None}
    if picture is not None:
        return {"kind": "pictures", "input": picture, "second": None, "label": label}
    first, second = TEXT_COLUMNS
    text = next((name for name in first if columns.get(name) == "text"), None)
    pair = next((name for name in second if columns.get(name) == "text"), None) if text is not None else None
    return {"kind": "texts" if text is not None else None, "input": text, "second": pair, "label": label}


def _pictures(found: PictureSet) -> dict[str, Any]:
    """Describe pictures in files: there are no columns to choose."""
    rows = [
        {"name": split, "role": canonical_split(split) or "all", "rows": len(pictures.labels), "bytes": 0}
        for split, pictures in found.splits.items()
    ]
    kinds = {"kind": "pictures", "input": None, "second": None, "label": None}
    classes = list(found.classes[:_MOST_NAMES])
    return {
        "splits": rows, "made": in_words(list(found.splits), 0), "columns": [], "proposed": kinds, "classes": classes
    }  # fmt: skip


def _columns(columns: Mapping[str, str], features: Mapping[str, Any]) -> dict[str, Any]:
    found = proposed(columns, features)
    names = features.get(found["label"] or "", {}).get("names")
    classes = [name for name in names if isinstance(name, str)][:_MOST_NAMES] if isinstance(names, list) else []
    rows = [{"name": name, "kind": kind} for name, kind in columns.items()]
    return {"columns": rows, "proposed": found, "classes": classes}


def _end(shard: Path) -> Footer:
    try:
        with open_regular(shard) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            length = footer_length(file.read(TAIL))
            file.seek(max(0, size - TAIL - length))
            return read_footer(file.read(length))
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
