"""Which plane is meant: its vectors, its axes, where the models lie in it, and the grid that is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy
import torch

from merging_core.analysis.planes.directions import Normalisation, random_direction
from merging_core.analysis.planes.frame import Frame, Matrix, Spot, along, arrow_gram, principal, through_three
from merging_core.analysis.planes.grid import Grid, around
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.engines.points import Points, points_of
from merging_core.errors import Problem, SpaceError
from merging_core.evaluation.architectures import Weights
from merging_core.methods.info import ParameterInfo

__all__ = ["KINDS", "PARAMETERS", "Setting", "setting_of"]

KINDS: Mapping[str, int] = {"models": 3, "task vectors": 2, "random": 1, "principal": 4}
"""How many models each kind takes at least."""

PARAMETERS = (
    ParameterInfo(
        "kind",
        "Plane",
        "choice",
        "models",
        "Through the first three models, along the task vectors of the first two, along two random directions from the "
        "first, or in which four or more models spread most.",
        choices=tuple(KINDS),
    ),
    ParameterInfo(
        "cells", "Cells", "integer", 17, "Cells along each side, measured coarse to fine.", 3, 65, slider=(5, 33)
    ),
    ParameterInfo(
        "margin",
        "Margin",
        "number",
        0.3,
        "Share of the extent of the models that is seen beyond them on each side.",
        0.0,
        4.0,
        slider=(0.0, 1.0),
    ),
    ParameterInfo(
        "reach",
        "Reach",
        "number",
        1.0,
        "How far to go along each random direction; at 1 the step is as long as the weights themselves.",
        0.0,
        10.0,
        minimum_excluded=True,
        slider=(0.05, 2.0),
        only_when=("kind", "random"),
    ),
    ParameterInfo(
        "normalisation",
        "Scaled by",
        "choice",
        "filter",
        "Whether a random direction is scaled to the length of the weights filter by filter or layer by layer.",
        choices=("filter", "layer"),
        only_when=("kind", "random"),
    ),
)


@dataclass(frozen=True, eq=False)
class Setting:
    """A plane, laid out. `spots`: where each model lies, then the base if there is one; `names`: their names.

    `axes`: what stands along x and along y. `corners`: the spots, by number, between which straight lines are drawn.
    """

    points: Points
    frame: Frame
    grid: Grid
    spots: tuple[Spot, ...]
    names: tuple[str, ...]
    axes: tuple[str, str]
    corners: tuple[int, ...]
    _order: tuple[int, ...]
    _affine: int

    def weights(self, x: float, y: float) -> Weights:
        """Return the weights at a point of the plane."""
        shares = self.frame.shares(x, y)
        shares[0] = 1.0 - shares[1 : self._affine].sum()
        return self.points.weights(self.points.mixed(shares.tolist()))

    def model(self, index: int) -> Weights:
        """Return the weights of a model itself, or of the base, by its place among the spots."""
        return self.points.weights(self.points.flats[self._order[index]])


def setting_of(spec: StudySpec, bench: StudyBench, memory: Memory) -> Setting:
    """Lay out the plane of a specification; inner products are worked out once for each memory.

    Raises SpaceError where models or a base are missing or span no plane, and as opening models does.
    """
    kind, count = str(spec.params["kind"]), len(spec.models)
    _check(spec, kind)
    first_base = kind == "task vectors"
    named = [spec.base] if spec.base is not None and (first_base or spec.base not in spec.models) else []
    points = points_of(bench.engine, [*named, *spec.models] if first_base else [*spec.models, *named], spec.base)
    order = (*range(1, count + 1), 0) if first_base else tuple(range(count + len(named)))
    affine, free = len(points.flats), []
    if kind == "random":
        normalisation = cast("Normalisation", spec.params["normalisation"])
        free = [random_direction(points.space, points.flats[0], spec.seed, one, normalisation) for one in (0, 1)]
    gram = _gram(points, free, memory)
    axes = ("distance along the line from the first model to the second", "distance from that line")
    corners: Sequence[int] = (0, 1, 2)
    if kind == "models":
        frame = through_three(gram)
    elif kind == "task vectors":
        frame, axes, corners = along(gram, 1, 2), ("α₁", "α₂"), (count, 0, 1)
    elif kind == "random":
        frame, axes, corners = along(gram, affine, affine + 1), ("first direction", "second direction"), ()
    else:
        frame, spread = principal(gram, count)
        axes = (f"first component, {spread[0]:.0%} of the spread", f"second component, {spread[1]:.0%}")
        corners = ()
    spots = tuple(frame.spot(index) for index in order)
    return Setting(
        replace(points, flats=(*points.flats, *free)),
        frame,
        _grid(spec, kind, spots),
        spots,
        (*(model if isinstance(model, str) else "merge" for model in spec.models), *named),
        axes,
        tuple(corners),
        order,
        affine,
    )


def _gram(points: Points, free: Sequence[torch.Tensor], memory: Memory) -> Matrix:
    known = memory.get("arrows")
    if known is not None:
        return known["gram"].astype(numpy.float64)
    gram = arrow_gram(points.flats, free)
    memory.put("arrows", gram=gram)
    return gram


def _check(spec: StudySpec, kind: str) -> None:
    problems = []
    if len(spec.models) < KINDS[kind]:
        some = f"{KINDS[kind]} models" if KINDS[kind] > 1 else "one model"
        problems.append(Problem(f"a plane of this kind, {kind}, takes {some} or more", str(len(spec.models)), "models"))
    if kind == "task vectors" and spec.base is None:
        problems.append(Problem("task vectors start from a base", "none", "base", "name a base"))
    if problems:
        raise SpaceError(*problems)


def _grid(spec: StudySpec, kind: str, spots: Sequence[Spot]) -> Grid:
    cells, margin = int(spec.params.number("cells")), spec.params.number("margin")
    if kind == "random":
        reach = spec.params.number("reach")
        return around([(-reach, -reach), (reach, reach)], 0.0, cells)
    if kind == "task vectors":
        return around([(0.0, 0.0), (1.0, 1.0)], margin, cells)
    return around([(spot.x, spot.y) for spot in spots], margin, cells)
