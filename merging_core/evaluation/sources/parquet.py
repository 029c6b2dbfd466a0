"""Pictures in parquet shards, as the Hub's datasets have them; read a batch at a time, without `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.sources.pictures import Pictures, PictureSet, checked
from merging_core.evaluation.sources.shards import (
    column_of_kind,
    column_values,
    features_of,
    numbered,
    opened,
    shards_by_split,
)

if TYPE_CHECKING:
    import pyarrow.parquet

__all__ = ["open_parquet"]

_BATCH = 32


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    classes: tuple[str, ...] | None
    """Names by label; None where labels are texts."""
    wrapped: bool
    """Whether the image is a struct {bytes, path}."""


def open_parquet(
    path: Path,
    *,
    shards: Mapping[str, Sequence[Path]] | None = None,
    image: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
) -> PictureSet:
    """List the labelled pictures of a parquet file, or of a folder of shards (its sub-folders too).

    The image column holds structs {bytes, path} or bytes, the label column whole numbers or texts. Which they are, and
    the class names, is said by the `huggingface` features in the shards' metadata; without these the columns are named
    `image`, `img` and `label` (or given), and the names are `classes`, or the texts in order. A shard's name begins
    with its split (`train-00000-of-00001.parquet`), or its folder is called so; otherwise the source has no splits;
    `shards` says it instead, by split.
    Labels are read now, pictures when they are asked for. Raises EvaluationError with every problem found.
    """
    tables = shards_by_split(path) if shards is None else {split: list(files) for split, files in shards.items()}
    columns = _columns(next(iter(tables.values()))[0], image, label, classes)
    found: dict[str, list[Any]] = {split: [] for split in tables}
    sizes: dict[str, list[int]] = {split: [] for split in tables}
    for split, files in tables.items():
        for shard in files:
            values = column_values(shard, columns.label)
            found[split] += values
            sizes[split].append(len(values))
    names, labels = numbered(found, columns.classes, classes, path.name)
    splits = {
        split: Pictures(tuple(labels[split]), partial(_read, tuple(zip(files, sizes[split], strict=True)), columns))
        for split, files in tables.items()
    }
    count = sum(map(len, tables.values()))
    return checked(PictureSet(path.stem, names, splits, f"{count} parquet shards of {path.name}"))


def _columns(shard: Path, image: str | None, label: str | None, classes: Sequence[str] | None) -> _Columns:
    import pyarrow

    with opened(shard) as file:
        schema = file.schema_arrow
    features, names = features_of(schema.metadata), list(schema.names)
    picked_image = (
        image or column_of_kind(features, "Image") or next((name for name in ("image", "img") if name in names), "")
    )
    picked_label = label or column_of_kind(features, "ClassLabel") or ("label" if "label" in names else "")
    problems = [
        Problem(
            f"there is a column of {what}", picked or "none that is marked or named so", shard.name, closest("", names)
        )
        for what, picked in (("pictures", picked_image), ("labels", picked_label))
        if picked not in names
    ]
    if problems:
        raise EvaluationError(*problems)
    kind = schema.field(picked_image).type
    wrapped = pyarrow.types.is_struct(kind)
    inner = kind.field("bytes").type if wrapped and kind.get_field_index("bytes") >= 0 else kind
    if not (pyarrow.types.is_binary(inner) or pyarrow.types.is_large_binary(inner)):
        must = "pictures are bytes, or structs with bytes"
        problems.append(Problem(must, str(kind)[:60], f"{shard.name}: {picked_image}"))
    numbers = schema.field(picked_label).type
    texts = pyarrow.types.is_string(numbers) or pyarrow.types.is_large_string(numbers)
    if not texts and not pyarrow.types.is_integer(numbers):
        must = "labels are whole numbers or texts"
        problems.append(Problem(must, str(numbers)[:60], f"{shard.name}: {picked_label}"))
    said = features.get(picked_label, {}).get("names")
    known = tuple(said) if isinstance(said, list) and all(isinstance(name, str) for name in said) else None
    given = tuple(classes) if classes is not None else known
    if not texts and given is None:
        fix = "give the class names"
        problems.append(Problem("class names are in the metadata or given", "neither", shard.name, fix))
    if problems:
        raise EvaluationError(*problems)
    return _Columns(picked_image, picked_label, None if texts else given, wrapped)


def _read(shards: Sequence[tuple[Path, int]], columns: _Columns, indices: Sequence[int]) -> Iterator[bytes]:
    """Yield the pictures of ascending indices, opening only the shards and row groups that hold one."""
    start, wanted = 0, list(indices)
    for shard, size in shards:
        here = [index - start for index in wanted if start <= index < start + size]
        start += size
        if not here:
            continue
        with opened(shard) as file:
            yield from _rows(file, columns, here, shard.name)


def _rows(file: pyarrow.parquet.ParquetFile, columns: _Columns, wanted: list[int], where: str) -> Iterator[bytes]:
    rest, first = iter(wanted), 0
    row = next(rest, None)
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if row is None:
            return
        if row < first + size:
            start = first
            column = f"{columns.image}.bytes" if columns.wrapped else columns.image
            for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[column], use_threads=False):
                while row is not None and row < start + batch.num_rows:
                    value = batch.column(0)[row - start].as_py()
                    data = value.get("bytes") if columns.wrapped and isinstance(value, dict) else value
                    if not isinstance(data, bytes):
                        fix = "shards that only name files cannot be read; upload the pictures in them"
                        raise EvaluationError(
                            Problem("a picture's bytes are in the shard", "none", f"{where}: row {row}", fix)
                        )
                    yield data
                    row = next(rest, None)
                start += batch.num_rows
        first += size
    if row is not None:
        raise EvaluationError(Problem("a shard holds the rows that it names", f"none at {row}", where))
