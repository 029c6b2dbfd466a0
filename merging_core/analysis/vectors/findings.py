"""The numbers of task vectors as a page shows them: of the model, of each depth and of each leaf, and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy

from merging_core.analysis.studies.contract import Table
from merging_core.analysis.vectors.measures import LeafSums, added, numbers_of, pairs_of
from merging_core.analysis.vectors.pictures import Grid
from merging_core.engines.layer_stats import label_of
from merging_core.space.depth import Depth
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf

__all__ = ["matrix_numbers", "numbers_so_far", "rank_numbers", "tables"]

_MOST_ROWS = 5_000
"""Numbers of pairs in leaves that are listed; with more, only depths are."""


def numbers_so_far(
    space: ParameterSpace,
    leaves: Sequence[SpaceLeaf],
    sums: Mapping[str, LeafSums],
    sample: LeafSums | None,
    models: Sequence[str],
) -> dict[str, object]:
    """Return what is known of the whole, of each depth and of each leaf; of the whole a sample, until all was read."""
    read = [sums[leaf.name] for leaf in leaves if leaf.name in sums]
    whole, of = added(read, len(models)), sum(leaf.elements for leaf in leaves)
    partial = whole.elements < of
    shown = sample if sample is not None and partial else whole
    index = {leaf.name: place + 1 for place, leaf in enumerate(space.leaves)}
    labels = _labels(space)
    listed = leaves if len(leaves) * len(pairs_of(len(models))) <= _MOST_ROWS else ()
    rows = [
        {"leaf": leaf.name, "index": index[leaf.name], "depth": labels[leaf.depth], "shape": list(leaf.shape)}
        | _row([sums[leaf.name]], leaf.elements, len(models))
        for leaf in listed
        if leaf.name in sums
    ]
    return {
        "sentence": _sentence(leaves, models, shown.elements, of, sampled=shown is sample),
        "n": {},
        "models": list(models),
        "pairs": [list(pair) for pair in pairs_of(len(models))],
        "whole": {**numbers_of(shown), "of": of, "sampled": shown is sample},
        "depths": _depths(leaves, sums, labels, len(models)),
        "leaves": rows,
        "total": len(space.leaves),
    }


def rank_numbers(
    space: ParameterSpace, matrices: Sequence[SpaceLeaf], found: Mapping[str, Sequence[Mapping[str, Any] | None]]
) -> list[dict[str, object]]:
    """Return the stable rank and the effective rank of each matrix and model; nothing where it is not known yet."""
    labels, rows = _labels(space), []
    index = {leaf.name: place + 1 for place, leaf in enumerate(space.leaves)}
    for leaf in matrices:
        known = [None if one is None else one["ranks"].tolist() for one in found[leaf.name]]
        if any(one is not None for one in known):
            rows.append(
                {
                    "leaf": leaf.name,
                    "index": index[leaf.name],
                    "depth": labels[leaf.depth],
                    "shape": list(leaf.shape),
                    "stable": [None if one is None else one[0] for one in known],
                    "effective": [None if one is None or numpy.isnan(one[1]) else one[1] for one in known],
                }
            )
    return rows


def matrix_numbers(
    leaf: SpaceLeaf, grid: Grid, picture: Mapping[str, Any] | None, values: Sequence[Any]
) -> dict[str, object]:
    """Return the picture of the chosen leaf, as far as it is drawn, and its singular values."""
    rows = 0 if picture is None else int(picture["rows"])
    return {
        "leaf": leaf.name,
        "shape": list(leaf.shape),
        "rows": list(grid.rows),
        "columns": list(grid.columns),
        "pictures": [_short(one[:rows]) for one in picture["pictures"]] if picture is not None else [],
        "clashes": _short(picture["clashes"][:rows]) if picture is not None else [],
        "values": [None if one is None else _short(one) for one in values],
    }


def tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    """Return models, pairs, depths, leaves and matrices as tables, those that have rows."""
    given = cast("Mapping[str, Any]", numbers)
    models, pairs = given["models"], given["pairs"]
    names = [(models[i], models[j]) for i, j in pairs]
    header = ("cosine", "signs that clash (share)", "common largest (Jaccard)", "by chance")
    whole = given["whole"]
    found = {
        "models": Table(
            "Task vectors",
            ("model", "norm", "relative to the base", "elements"),
            tuple(
                (model, norm, moved, whole["elements"])
                for model, norm, moved in zip(models, whole["norms"], whole["moved"], strict=True)
            ),
        ),
        "pairs": Table(
            "Pairs of task vectors",
            ("first", "second", *header),
            tuple((*pair, *cells) for pair, cells in zip(names, _of_pairs(whole), strict=True)),
        ),
        "layers": Table(
            "Pairs of task vectors by layer",
            ("layer", "first", "second", *header),
            tuple(
                (row["depth"], *pair, *cells)
                for row in given["depths"]
                for pair, cells in zip(names, _of_pairs(row), strict=True)
            ),
        ),
        "norms": Table(
            "Norms by layer",
            ("layer", "model", "norm", "relative to the base", "elements"),
            tuple(
                (row["depth"], model, norm, moved, row["elements"])
                for row in given["depths"]
                for model, norm, moved in zip(models, row["norms"], row["moved"], strict=True)
            ),
        ),
        "leaves": Table(
            "Pairs of task vectors by leaf",
            ("number", "leaf", "layer", "first", "second", *header),
            tuple(
                (row["index"], row["leaf"], row["depth"], *pair, *cells)
                for row in given["leaves"]
                for pair, cells in zip(names, _of_pairs(row), strict=True)
            ),
        ),
        "ranks": Table(
            "Ranks of the matrices",
            ("number", "leaf", "layer", "model", "stable rank", "effective rank", "largest possible"),
            tuple(
                (row["index"], row["leaf"], row["depth"], model, stable, effective, min(row["shape"]))
                for row in given["ranks"]
                for model, stable, effective in zip(models, row["stable"], row["effective"], strict=True)
            ),
        ),
    }
    if "matrix" in given:
        found |= _matrix_tables(given["matrix"], models)
    return {name: table for name, table in found.items() if table.rows}


def _matrix_tables(matrix: Mapping[str, Any], models: Sequence[str]) -> dict[str, Table]:
    values = tuple(
        (model, place + 1, value)
        for model, row in zip(models, matrix["values"], strict=True)
        for place, value in enumerate(row or ())
    )
    cells = tuple(
        (model, matrix["rows"][i], matrix["columns"][j], value)
        for model, picture in zip(models, matrix["pictures"], strict=False)
        for i, row in enumerate(picture)
        for j, value in enumerate(row)
    )
    return {
        "values": Table("Singular values", ("model", "place", "singular value"), values),
        "blocks": Table("Blocks of the leaf", ("model", "row", "column", "signed root mean square"), cells),
    }


def _of_pairs(row: Mapping[str, Any]) -> list[tuple[float | None, ...]]:
    return list(zip(row["cosines"], row["clashes"], row["overlaps"], row["chances"], strict=True))


def _labels(space: ParameterSpace) -> dict[Depth, str]:
    known = {leaf.depth for leaf in space.leaves}
    several = len({depth.stack for depth in known}) > 1
    return {depth: label_of(depth, several) for depth in known}


def _depths(
    leaves: Sequence[SpaceLeaf], sums: Mapping[str, LeafSums], labels: Mapping[Depth, str], models: int
) -> list[dict[str, object]]:
    found: dict[Depth, list[SpaceLeaf]] = {}
    for leaf in leaves:
        found.setdefault(leaf.depth, []).append(leaf)
    return [
        {"depth": labels[depth], "leaves": len(found[depth])}
        | _row(
            [sums[leaf.name] for leaf in found[depth] if leaf.name in sums],
            sum(leaf.elements for leaf in found[depth]),
            models,
        )
        for depth in sorted(found, key=lambda depth: depth.order)
        if any(leaf.name in sums for leaf in found[depth])
    ]


def _row(parts: Sequence[LeafSums], of: int, models: int) -> dict[str, object]:
    return {**numbers_of(added(parts, models)), "of": of}


def _sentence(leaves: Sequence[SpaceLeaf], models: Sequence[str], seen: int, of: int, *, sampled: bool) -> str:
    where = f"leaf {leaves[0].name}" if len(leaves) == 1 else f"{len(leaves):,} leaves".replace(",", " ")
    many = "One task vector" if len(models) == 1 else f"{len(models)} task vectors"
    counted = f"{of:,} numbers".replace(",", " ")
    if seen == of:
        return f"{many} over {where}: all {counted} of each; no examples are used."
    part = f"{seen:,}".replace(",", " ")
    how = f"a sample of {part} of {counted}" if sampled else f"the first {part} of {counted}"
    return f"{many} over {where}: so far {how}; no examples are used."


def _short(values: Any) -> Any:
    """Round to four digits, as nested lists."""
    array = numpy.asarray(values, dtype=numpy.float64)
    with numpy.errstate(divide="ignore"):
        places = numpy.where(array == 0.0, 0.0, 3.0 - numpy.floor(numpy.log10(numpy.abs(array))))
    scale = 10.0 ** numpy.clip(places, -300.0, 300.0)
    return (numpy.round(array * scale) / scale).tolist()
