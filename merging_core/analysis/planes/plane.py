"""Loss and accuracy of each task on a plane through weight space, coarse to fine, with the models where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy
from numpy.typing import NDArray

from merging_core.analysis.planes.grid import steps
from merging_core.analysis.planes.setting import PARAMETERS, Setting, setting_of
from merging_core.analysis.planes.stages import Sums, growing, measured
from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.measuring import parts_in
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.intervals import wilson
from merging_core.methods.info import Source

__all__ = ["PLANE"]

Cells = tuple[tuple[int, int], ...]


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure 3 × 3 cells, the models themselves, then ever finer cells; then all of them on more examples."""
    setting = setting_of(spec, bench, memory)
    coarsest, *finer = steps(len(setting.grid.x))
    cells: Cells = (*coarsest, *(cell for step in finer for cell in step))
    models, at_once = len(setting.spots), len(coarsest)

    def weights(place: int) -> Weights:
        if at_once <= place < at_once + models:
            return setting.model(place - at_once)
        row, column = cells[place if place < at_once else place - models]
        return setting.weights(setting.grid.x[column], setting.grid.y[row])

    preview = parts_in(bench, spec.splits, "preview")
    stages = growing(preview, parts_in(bench, spec.splits, spec.subset))
    count = len(cells) + models
    for sums in measured(bench, memory, setting.points.config, weights, count, stages):
        if sums.known[:at_once].all():
            own = numpy.arange(at_once, at_once + models)
            grid = numpy.delete(numpy.arange(count), own)
            yield Finding(_numbers(spec, setting, cells, sums, own, grid), sums.share)


def _numbers(
    spec: StudySpec,
    setting: Setting,
    cells: Cells,
    sums: Sums,
    own: NDArray[numpy.intp],
    grid: NDArray[numpy.intp],
) -> dict[str, object]:
    """Return the picture: values [row, column] for each split, for the mean over its tasks first, then for each."""
    loss, accuracy = sums.losses / sums.sizes, sums.correct / sums.sizes
    known, side = sums.known[grid], len(setting.grid.x)
    rows, columns = numpy.array(cells).T
    n, layers = {}, []
    for split in spec.splits:
        at = [place for place, part in enumerate(sums.parts) if part.split == split]
        n[split] = int(sums.sizes[at].sum())
        tasks: list[tuple[str | None, str, list[int]]] = [(None, "mean over tasks", at)] if len(at) > 1 else []
        tasks += [(sums.parts[place].task.name, sums.parts[place].task.title, [place]) for place in at]
        for name, title, places in tasks:
            layer: dict[str, object] = {
                "split": split,
                "task": name,
                "title": title,
                "n": int(sums.sizes[places].sum()),
            }
            for what, values in (("loss", loss), ("accuracy", accuracy)):
                picture = numpy.full((side, side), numpy.nan)
                picture[rows, columns] = numpy.where(known, values[grid][:, places].mean(axis=1), numpy.nan)
                layer[what] = [[_plain(value) for value in row] for row in picture.tolist()]
            layers.append(layer)
    found = f"{known.sum()} of {len(cells)} cells" if not known.all() else f"{side} × {side} cells"
    several = len(sums.parts) // len(spec.splits)
    tasks_said = f"mean over {several} tasks" if several > 1 else sums.parts[0].task.title
    sizes = ", ".join(f"{split} n {size}" for split, size in n.items())
    return {
        "sentence": f"Loss and accuracy on {_PLANES[str(spec.params['kind'])]}, {tasks_said}, {found}; {sizes}.",
        "n": n,
        "partial": sums.partial,
        "models": list(setting.names[: len(spec.models)]),
        "kind": spec.params["kind"],
        "axes": list(setting.axes),
        "x": list(setting.grid.x),
        "y": list(setting.grid.y),
        "layers": layers,
        "places": [
            {
                "model": place if place < len(spec.models) else None,
                "name": name,
                "x": spot.x,
                "y": spot.y,
                "distance": spot.distance,
                "scores": _scores(sums, int(own[place])) if sums.known[own[place]] else [],
            }
            for place, (name, spot) in enumerate(zip(setting.names, setting.spots, strict=True))
        ],
        "corners": list(setting.corners),
        "lowest": [_lowest(split, layers, setting) for split in spec.splits],
    }


def _scores(sums: Sums, place: int) -> list[dict[str, object]]:
    """Return how a model itself does on each part."""
    rows = zip(sums.parts, sums.correct[place], sums.losses[place], strict=True)
    return [
        {
            "task": part.task.name,
            "split": part.split,
            "loss": _plain(loss / part.stop),
            "accuracy": float(correct) / part.stop,
            "interval": list(wilson(int(correct), part.stop)),
            "n": part.stop,
        }
        for part, correct, loss in rows
    ]


def _lowest(split: str, layers: list[dict[str, object]], setting: Setting) -> dict[str, object]:
    """Return the cell of the lowest loss of a split, of the mean over tasks where there are several."""
    layer = cast("dict[str, Any]", next(layer for layer in layers if layer["split"] == split))
    found = [
        (value, row, column)
        for row, values in enumerate(layer["loss"])
        for column, value in enumerate(values)
        if value is not None
    ]
    if not found:
        return {"split": split, "loss": None}
    loss, row, column = min(found)
    where = {"x": setting.grid.x[column], "y": setting.grid.y[row]}
    return {"split": split, "loss": loss, "accuracy": layer["accuracy"][row][column], **where}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    given = cast("dict[str, Any]", numbers)
    cells = tuple(
        (
            x,
            y,
            layer["split"],
            layer["task"] or layer["title"],
            layer["loss"][row][column],
            accuracy,
            *_interval(layer, accuracy),
        )
        for layer in given["layers"]
        for row, y in enumerate(given["y"])
        for column, x in enumerate(given["x"])
        if (accuracy := layer["accuracy"][row][column]) is not None
    )
    models = tuple(
        (
            place["name"], place["x"], place["y"], place["distance"], score["task"], score["split"],
            score["loss"], score["accuracy"], *score["interval"], score["n"],
        )
        for place in given["places"]
        for score in place["scores"]
    )  # fmt: skip
    where = ("model", "x", "y", "distance from the plane", "task", "split")
    how = ("loss (nats)", "accuracy", "95 % low", "95 % high", "n")
    return {
        "plane": Table(
            "Loss and accuracy at the cells of the plane",
            ("x", "y", "split", "task", *how),
            cells,
        ),
        "models": Table("Where the models lie, and how they do", (*where, *how), models),
    }


def _interval(layer: Mapping[str, Any], accuracy: float) -> tuple[float | None, float | None, int]:
    """Return the 95 % interval of one task's accuracy, and n; a mean over tasks has none here: that takes long."""
    if layer["task"] is None:
        return None, None, layer["n"]
    return *wilson(round(accuracy * layer["n"]), layer["n"]), layer["n"]


_PLANES = {
    "models": "the plane through three models",
    "task vectors": "the plane of two task vectors",
    "random": "the plane of two random directions",
    "principal": "the plane in which the models spread most",
}

PLANE = Study(
    name="plane",
    title="Plane",
    formula="θ(x, y) = θ₀ + x·u + y·v",
    summary="Loss and accuracy on a plane through weight space, with the models as points and what lies between them.",
    source=Source(
        "Garipov, Izmailov, Podoprikhin, Vetrov and Wilson",
        2018,
        "Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs",
        "https://arxiv.org/abs/1802.10026",
        place="figure 1; random directions: Li et al. 2018, arXiv:1712.09913, section 4",
        deviation="Both axes have one unit, the grid comes coarse to fine, and models beside the plane are drawn with "
        "their distance from it.",
    ),
    parameters=PARAMETERS,
    group="planes",
    models=(1, 16),
    answer=_answer,
    tables=_tables,
)
