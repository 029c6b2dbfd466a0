"""Pictures in parquet shards, as the Hub's datasets have them; read a batch at a time, without `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging_core.checkpoints.config import parse_json_object
from merging_core.checkpoints.files import open_regular
from merging_core.errors import CheckpointError, EvaluationError, Problem, closest
from merging_core.evaluation.sources.pictures import ALL, Pictures, PictureSet, canonical_split, checked

if TYPE_CHECKING:
    import pyarrow.parquet

__all__ = ["features_of", "open_parquet"]

_METADATA_BYTES = 1 << 24
_BATCH = 32
_MAX_SHARDS = 4_096


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    classes: tuple[str, ...] | None
    """Names by label; None where labels are texts."""
    wrapped: bool
    """Whether the image is a struct {bytes, path}."""


def open_parquet(
    path: Path, *, image: str | None = None, label: str | None = None, classes: Sequence[str] | None = None
) -> PictureSet:
    """List the labelled pictures of a parquet file, or of a folder of shards (its sub-folders too).

    The image column holds structs {bytes, path} or bytes, the label column whole numbers or texts. Which they are, and
    the class names, is said by the `huggingface` features in the shards' metadata; without these the columns are named
    `image`, `img` and `label` (or given), and the names are `classes`, or the texts in order. A shard's name begins
    with its split (`train-00000-of-00001.parquet`), or its folder is called so; otherwise the source has no splits.
    Labels are read now, pictures when they are asked for. Raises EvaluationError with every problem found.
    """
    shards = _shards(path)
    tables: dict[str, list[Path]] = {}
    for shard in shards:
        tables.setdefault(_split_of(shard, path), []).append(shard)
    if len(tables) > 1 and ALL in tables:
        names = ", ".join(shard.name for shard in tables[ALL][:3])
        fix = "name them train-….parquet, validation-….parquet, test-….parquet"
        raise EvaluationError(Problem("all shards belong to a split, or none", names, path.name, fix))
    columns = _columns(shards[0], image, label, classes)
    found: dict[str, list[Any]] = {split: [] for split in tables}
    sizes: dict[str, list[int]] = {split: [] for split in tables}
    for split, files in tables.items():
        for shard in files:
            before = len(found[split])
            found[split] += _labels(shard, columns)
            sizes[split].append(len(found[split]) - before)
    names_of = columns.classes
    if names_of is None:
        texts = {value for values in found.values() for value in values}
        names_of = tuple(classes) if classes is not None else tuple(sorted(texts))
        number = {name: index for index, name in enumerate(names_of)}
        unknown = sorted(texts - number.keys())
        if unknown:
            problem = Problem("a label is one of the classes", unknown[0][:60], path.name, closest(unknown[0], number))
            raise EvaluationError(problem)
        found = {split: [number[value] for value in values] for split, values in found.items()}
    splits = {
        split: Pictures(tuple(found[split]), partial(_read, tuple(zip(files, sizes[split], strict=True)), columns))
        for split, files in tables.items()
    }
    return checked(PictureSet(path.stem, names_of, splits, f"{len(shards)} parquet shards of {path.name}"))


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


def _shards(path: Path) -> list[Path]:
    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not 1 <= len(found) <= _MAX_SHARDS:
        got = f"{len(found)} files *.parquet"
        raise EvaluationError(Problem(f"a folder holds 1 to {_MAX_SHARDS:,} parquet shards", got, path.name))
    return found


def _split_of(shard: Path, top: Path) -> str:
    words = [shard.stem.split("-")[0].split(".")[0]]
    words += [part for part in (shard.relative_to(top).parts[:-1] if top.is_dir() else ())]
    return next((split for word in words if (split := canonical_split(word)) is not None), ALL)


@contextmanager
def _opened(shard: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """Open a shard for a moment; what pyarrow says against it becomes a problem."""
    import pyarrow.parquet

    limits = {"thrift_string_size_limit": _METADATA_BYTES, "thrift_container_size_limit": _METADATA_BYTES}
    try:
        with open_regular(shard) as raw, pyarrow.parquet.ParquetFile(raw, **limits) as file:
            yield file
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        must = "a shard is a parquet file that can be read"
        raise EvaluationError(Problem(must, type(error).__name__, shard.name)) from None


def _columns(shard: Path, image: str | None, label: str | None, classes: Sequence[str] | None) -> _Columns:
    import pyarrow

    with _opened(shard) as file:
        schema = file.schema_arrow
    features, names = features_of(schema.metadata), list(schema.names)
    picked_image = image or _first(features, "Image") or next((name for name in ("image", "img") if name in names), "")
    picked_label = label or _first(features, "ClassLabel") or ("label" if "label" in names else "")
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


def _first(features: Mapping[str, Any], kind: str) -> str | None:
    return next((name for name, row in features.items() if row.get("_type") == kind), None)


def _labels(shard: Path, columns: _Columns) -> list[Any]:
    with _opened(shard) as file:
        values = file.read(columns=[columns.label], use_threads=False).column(0).to_pylist()
    if None in values:
        place = f"{shard.name}: row {values.index(None)}"
        raise EvaluationError(Problem("every picture has a label", "none", place))
    return list(values)


def _read(shards: Sequence[tuple[Path, int]], columns: _Columns, indices: Sequence[int]) -> Iterator[bytes]:
    """Yield the pictures of ascending indices, opening only the shards and row groups that hold one."""
    start, wanted = 0, list(indices)
    for shard, size in shards:
        here = [index - start for index in wanted if start <= index < start + size]
        start += size
        if not here:
            continue
        with _opened(shard) as file:
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
