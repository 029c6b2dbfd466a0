"""Contours: bands of one colour between levels, and lines at the levels, as plotly draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.drawing.colours import Colour, PictureError, rgba, scale_colour
from app.charts.drawing.marks import Place, dash_of
from app.charts.drawing.scale_bar import Bar, draw_scale
from app.charts.drawing.sheet import Sheet
from merging_core.errors import Problem

__all__ = ["draw_contour"]

_COLOURINGS = ("fill", "lines", "none")


def draw_contour(sheet: Sheet, trace: Mapping[str, Any], place: Place) -> None:
    """Draw a matrix as contours at the levels that `contours` names: start, end and size.

    Raises `PictureError` for levels that are left to plotly, labels on lines, and a scale that is not a list of stops.
    """
    import contourpy
    import numpy

    given = _checked(trace)
    rows = [[math.nan if value is None else float(value) for value in row] for row in trace.get("z") or []]
    if len(rows) < 2 or len(rows[0]) < 2:
        return
    z = numpy.ma.masked_invalid(numpy.array(rows, dtype=numpy.float64))
    xs, ys = trace.get("x") or list(range(len(rows[0]))), trace.get("y") or list(range(len(rows)))
    found: Any = contourpy.contour_generator(xs, ys, z, fill_type="OuterCode", line_type="Separate")
    levels = _levels(given)
    bands = _bands(trace, levels)
    opacity = float(trace.get("opacity", 1.0))
    if given.get("coloring", "fill") == "fill":
        for floor, tint in zip((-math.inf, *levels), bands, strict=True):
            for ring, codes in zip(*found.filled(floor, math.inf), strict=True):
                path = [place.point(x, y) for x, y in ring.tolist()]
                sheet.area(path, codes.tolist(), (*tint[:3], tint[3] * opacity), place.box)
    if given.get("showlines", True) and given.get("coloring") != "none":
        line = trace.get("line") or {}
        for level, tint in zip(levels, bands[1:], strict=True):
            ink = tint if given.get("coloring") == "lines" else rgba(line.get("color", "#444444"), opacity)
            for one in found.lines(level):
                path = [place.point(x, y) for x, y in one.tolist()]
                sheet.line(path, ink, float(line.get("width", 0.5)), dash_of(line), place.box)
    if trace.get("showscale", True):
        size = float(given["size"])
        bar = Bar(levels[0] - size, levels[-1] + size, bands)
        draw_scale(sheet, bar, trace.get("colorbar"), place.box, place.style)


def _checked(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    given = trace.get("contours") or {}
    problems = []
    if not isinstance(trace.get("colorscale"), list):
        must = "a contour gives its scale of colours as a list of stops"
        problems.append(Problem(must, repr(trace.get("colorscale")), "contour.colorscale"))
    if not all(isinstance(given.get(name), int | float) for name in ("start", "end", "size")) or given["size"] <= 0:
        problems.append(Problem("a contour names its levels by start, end and size", repr(given), "contour.contours"))
    if given.get("coloring", "fill") not in _COLOURINGS:
        must = f"a contour is coloured by {', '.join(_COLOURINGS)}"
        problems.append(Problem(must, repr(given["coloring"]), "contours.coloring"))
    if given.get("showlabels"):
        problems.append(Problem("lines of a contour carry no labels", "showlabels", "contours.showlabels"))
    if problems:
        raise PictureError(*problems)
    return given


def _levels(given: Mapping[str, Any]) -> list[float]:
    start, size = float(given["start"]), float(given["size"])
    return [start + step * size for step in range(max(0, math.floor((float(given["end"]) - start) / size + 1e-9)) + 1)]


def _bands(trace: Mapping[str, Any], levels: Sequence[float]) -> list[Colour]:
    """The colour below the first level, and that above each level; the scale spans all of them."""
    return [scale_colour(trace["colorscale"], step / len(levels)) for step in range(len(levels) + 1)]
