"""Parquet shards as the Hub's datasets have them: which there are, what their columns mean, and single columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging_core.checkpoints.config import parse_json_object
from merging_core.checkpoints.files import open_regular
from merging_core.errors import CheckpointError, EvaluationError, Problem, closest
from merging_core.evaluation.sources.pictures import ALL, MAX_LISTED, canonical_split

if TYPE_CHECKING:
    import pyarrow.parquet

__all__ = ["column_of_kind", "column_values", "features_of", "numbered", "opened", "shards_by_split"]

_METADATA_BYTES = 1 << 24
_COLUMN_BYTES = 1 << 29
_MAX_SHARDS = 4_096
_BATCH = 4_096


def shards_by_split(path: Path) -> dict[str, list[Path]]:
    """Return the shards of a file or folder (its sub-folders too) by split; under `ALL` where they belong to none.

    A shard's name begins with its split (`train-00000-of-00001.parquet`), or a folder of its is called so. Raises
    EvaluationError where there is no shard, or where some belong to a split and others do not.
    """
    shards = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not 1 <= len(shards) <= _MAX_SHARDS:
        got = f"{len(shards)} files *.parquet"
        raise EvaluationError(Problem(f"a folder holds 1 to {_MAX_SHARDS:,} parquet shards", got, path.name))
    found: dict[str, list[Path]] = {}
    for shard in shards:
        found.setdefault(_split_of(shard, path), []).append(shard)
    if len(found) > 1 and ALL in found:
        names = ", ".join(shard.name for shard in found[ALL][:3])
        fix = "name them train-….parquet, validation-….parquet, test-….parquet"
        raise EvaluationError(Problem("all shards belong to a split, or none", names, path.name, fix))
    return found


def features_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return the features that the Hub writes into a schema's metadata, by column; empty where there are none.

    Raises EvaluationError where the metadata is there and is not JSON.

    >>> features_of({b"huggingface": b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'})
    {'label': {'_type': 'ClassLabel'}}
    """
    text = (metadata or {}).get(b"huggingface")
    if text is None or len(text) > _METADATA_BYTES:
        return {}
    try:
        info = parse_json_object(text, "huggingface metadata").get("info")
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    features = info.get("features") if isinstance(info, dict) else None
    return {name: row for name, row in features.items() if isinstance(row, dict)} if isinstance(features, dict) else {}


def column_of_kind(features: Mapping[str, Any], kind: str) -> str | None:
    """Return the first column of a kind: `Image`, `ClassLabel`, `Value`."""
    return next((name for name, row in features.items() if row.get("_type") == kind), None)


def column_values(shard: Path, column: str) -> list[Any]:
    """Return a column of numbers or texts; raises EvaluationError where it is too large, or a value is missing."""
    values: list[Any] = []
    size = 0
    with opened(shard) as file:
        rows = file.metadata.num_rows
        batches = iter(()) if rows > MAX_LISTED else file.iter_batches(_BATCH, columns=[column], use_threads=False)
        for batch in batches:
            size += batch.nbytes
            if size > _COLUMN_BYTES:
                break
            values += batch.column(0).to_pylist()
    if rows > MAX_LISTED or size > _COLUMN_BYTES:
        must = f"a column has at most {MAX_LISTED:,} rows and {_COLUMN_BYTES:,} bytes"
        got = f"{rows:,} rows" if rows > MAX_LISTED else "more bytes"
        raise EvaluationError(Problem(must, got, f"{shard.name}: {column}", "give fewer or smaller shards"))
    if None in values:
        place = f"{shard.name}: row {values.index(None)}: {column}"
        raise EvaluationError(Problem("every row has a value", "none", place))
    return values


def numbered(
    labels: Mapping[str, Sequence[Any]], known: Sequence[str] | None, classes: Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Return class names and labels by split as numbers: `known` names numbers, texts name themselves.

    Texts are numbered in the order of `classes`, or of the alphabet. Raises EvaluationError for a text that is none of
    the classes, or numbers without names.
    """
    values = {value for column in labels.values() for value in column}
    if not all(isinstance(value, str) for value in values):
        if known is None:
            fix = "give the class names"
            raise EvaluationError(Problem("class names are in the metadata or given", "neither", where, fix))
        return tuple(known), {split: list(column) for split, column in labels.items()}
    names = tuple(classes) if classes is not None else tuple(sorted(values))
    number = {name: index for index, name in enumerate(names)}
    unknown = sorted(values - number.keys())
    if unknown:
        raise EvaluationError(
            Problem("a label is one of the classes", unknown[0][:60], where, closest(unknown[0], number))
        )
    return names, {split: [number[value] for value in column] for split, column in labels.items()}


@contextmanager
def opened(shard: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """Open a shard for a moment; what pyarrow says against it becomes a problem."""
    import pyarrow.parquet

    limits = {"thrift_string_size_limit": _METADATA_BYTES, "thrift_container_size_limit": _METADATA_BYTES}
    try:
        with open_regular(shard) as raw, pyarrow.parquet.ParquetFile(raw, **limits) as file:
            yield file
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError) as error:
        must = "a shard is a parquet file that can be read"
        raise EvaluationError(Problem(must, type(error).__name__, shard.name)) from None


def _split_of(shard: Path, top: Path) -> str:
    words = [shard.stem.split("-")[0].split(".")[0]]
    words += [part for part in (shard.relative_to(top).parts[:-1] if top.is_dir() else ())]
    return next((split for word in words if (split := canonical_split(word)) is not None), ALL)
