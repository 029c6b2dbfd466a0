"""Traces: bars, scatter lines and markers, heatmaps, each put on the sheet as plotly puts it on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from app.charts.drawing.axes import Axis
from app.charts.drawing.colours import Colour, PictureError, rgba, scale_colour
from app.charts.drawing.letters import Style, lines_of
from app.charts.drawing.scale_bar import Bar, draw_scale
from app.charts.drawing.sheet import Box, Point, Sheet
from app.charts.drawing.symbols import outline
from merging_core.errors import Problem

__all__ = ["Place", "dash_of", "draw_bars", "draw_heatmap", "draw_scatter", "each", "offsets"]

_STEPS = 64
"""Colours of the bar beside a heat map."""


@dataclass(frozen=True)
class Place:
    """Where a trace is drawn: its axes, the box that they span, and the letters of the figure."""

    x: Axis
    y: Axis
    style: Style

    @property
    def box(self) -> Box:
        """The pixels between the ends of both axes."""
        (left, right), (top, bottom) = sorted((self.x.start, self.x.stop)), sorted((self.y.start, self.y.stop))
        return (left, top, right, bottom)

    def clip(self, trace: Mapping[str, Any]) -> Box | None:
        """Return where a trace's marks end: at the axes, or nowhere where it says so."""
        return None if trace.get("cliponaxis") is False else self.box

    def point(self, x: Any, y: Any) -> Point:
        """Return the pixel of a pair of values."""
        return (self.x.pixel(x), self.y.pixel(y))


def each(value: Any, count: int, otherwise: Any) -> list[Any]:
    """Return a look for each of `count` points: a list is theirs in turn, anything else is the same for all.

    >>> each("#fff", 2, None), each(["a", "b"], 2, None), each(None, 1, 6)
    (['#fff', '#fff'], ['a', 'b'], [6])
    """
    if isinstance(value, list | tuple):
        return [*value, *[otherwise] * (count - len(value))][:count]
    return [otherwise if value is None else value] * count


def dash_of(line: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the lengths of a line's dashes in pixels, as plotly has them; an unknown dash is a `PictureError`.

    >>> dash_of({"dash": "dot", "width": 2})
    (3.0, 3.0)
    """
    name = line.get("dash") or "solid"
    unit = max(float(line.get("width") or 2), 3.0)
    known = {"solid": (), "dot": (1, 1), "dash": (3, 3), "longdash": (5, 5), "dashdot": (3, 1, 1, 1)}
    if name not in known:
        raise PictureError(Problem(f"a dash is one of {', '.join(known)}", repr(name), "line.dash"))
    return tuple(unit * length for length in known[name])


def offsets(bars: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> list[tuple[float, float, list[float]]]:
    """Return for each bar trace of one subplot: shift, width and what its bars stand on, in units of the axis."""
    mode, gap = layout.get("barmode", "group"), float(layout.get("bargap", 0.2))
    if mode not in ("group", "overlay", "stack", "relative"):
        raise PictureError(Problem("bars are grouped, overlaid or stacked", repr(mode), "layout.barmode"))
    beside = len(bars) if mode == "group" else 1
    found: list[tuple[float, float, list[float]]] = []
    heaps: dict[tuple[Any, bool], float] = {}
    for i, bar in enumerate(bars):
        across, along = ("y", "x") if bar.get("orientation") == "h" else ("x", "y")
        places, values = bar.get(across) or [], bar.get(along) or []
        width = bar.get("width")
        if not isinstance(width, int | float):
            numbers = sorted({place for place in places if isinstance(place, int | float)})
            room = min((b - a for a, b in zip(numbers, numbers[1:], strict=False)), default=1.0)
            width = room * (1 - gap) / beside
        shift = (i - (beside - 1) / 2) * width if mode == "group" else 0.0
        under = []
        for place, value in zip(places, values, strict=False):
            key = (place, (value or 0) >= 0)
            under.append(heaps.get(key, 0.0) if mode in ("stack", "relative") else 0.0)
            heaps[key] = under[-1] + (value or 0)
        found.append((shift, float(width), under))
    return found


def draw_bars(sheet: Sheet, trace: Mapping[str, Any], place: Place, stand: tuple[float, float, list[float]]) -> None:
    """Draw bars, upright or lying, and their intervals."""
    lying = trace.get("orientation") == "h"
    across, along = (place.y, place.x) if lying else (place.x, place.y)
    where = trace.get(across.name[0]) or list(range(len(trace.get(along.name[0]) or [])))
    values = trace.get(along.name[0]) or []
    marker = trace.get("marker") or {}
    edge = marker.get("line") or {}
    count = len(values)
    fills = each(marker.get("color"), count, place.style.colour)
    edges, widths = each(edge.get("color"), count, "rgba(0,0,0,0)"), each(edge.get("width"), count, 0)
    opacity = _opacity(trace, marker)
    shift, width, under = stand
    for i, (at, value) in enumerate(zip(where, values, strict=False)):
        if value is None:
            continue
        middle = across.place(at) + shift
        near, far = (_at(across, middle + side * width / 2) for side in (-1, 1))
        foot, tip = along.pixel(under[i]), along.pixel(under[i] + value)
        box = (foot, far, tip, near) if lying else (near, tip, far, foot)
        sheet.rectangle(box, _paint(fills[i], opacity), _paint(edges[i], opacity), float(widths[i]), place.box)
    middles = [(_at(across, across.place(at) + shift)) for at in where]
    ends = [along.pixel(None if value is None else base + value) for value, base in zip(values, under, strict=False)]
    _errors(sheet, trace, place, list(zip(ends, middles, strict=False) if lying else zip(middles, ends, strict=False)))


def draw_scatter(sheet: Sheet, trace: Mapping[str, Any], place: Place, before: Sequence[Point]) -> list[Point]:
    """Draw a fill, lines, intervals, markers and texts of one trace; return its points, to which the next may fill."""
    ys = trace.get("y") or []
    xs = trace.get("x")
    points = [place.point(x, y) for x, y in zip(range(len(ys)) if xs is None else xs, ys, strict=False)]
    mode = str(trace.get("mode") or "lines+markers")
    opacity = float(trace.get("opacity", 1.0))
    line = trace.get("line") or {}
    stroke = _paint(line.get("color"), opacity, place.style.colour)
    path = _shaped(points, str(line.get("shape") or "linear"))
    _fill(sheet, trace, place, path, before)
    if "lines" in mode:
        sheet.line(path, stroke, float(line.get("width", 2)), dash_of(line), place.box)
    _errors(sheet, trace, place, points)
    if "markers" in mode:
        _markers(sheet, trace, place, points, stroke)
    if "text" in mode:
        _texts(sheet, trace, place, points)
    return path


def draw_heatmap(sheet: Sheet, trace: Mapping[str, Any], place: Place) -> None:
    """Draw a matrix as cells, each with its text where the trace gives one, and its scale beside it."""
    rows = trace.get("z") or []
    scale = trace.get("colorscale")
    if not isinstance(scale, list):
        must = "a heatmap gives its scale of colours as a list of stops"
        raise PictureError(Problem(must, repr(scale), "heatmap.colorscale"))
    known = [value for row in rows for value in row if value is not None]
    low, high = trace.get("zmin", min(known, default=0.0)), trace.get("zmax", max(known, default=1.0))
    xs = trace.get("x") or list(range(len(rows[0]) if rows else 0))
    ys = trace.get("y") or list(range(len(rows)))
    across, down = _edges(place.x, xs), _edges(place.y, ys)
    gap_x, gap_y = float(trace.get("xgap", 0)) / 2, float(trace.get("ygap", 0)) / 2
    words = trace.get("text") or []
    for j, row in enumerate(rows):
        for i, value in enumerate(row):
            if value is None:
                continue
            (left, right), (top, bottom) = sorted(across[i : i + 2]), sorted(down[j : j + 2])
            cell = (left + gap_x, top + gap_y, right - gap_x, bottom - gap_y)
            share = (value - low) / (high - low) if high > low else 0.5
            colour = scale_colour(scale, share)
            sheet.rectangle(cell, (*colour[:3], colour[3] * float(trace.get("opacity", 1.0))), clip=place.box)
            if words and trace.get("texttemplate"):
                text = str(trace["texttemplate"]).replace("%{text}", str(words[j][i])).replace("%{z}", f"{value:g}")
                middle = ((left + right) / 2, (top + bottom) / 2)
                readable = replace(place.style, colour=_readable(colour, place))
                sheet.write(lines_of(text, _font(trace.get("textfont"), readable)), middle, "center", "middle")
    if trace.get("showscale", True) and known:
        colours = [scale_colour(scale, (step + 0.5) / _STEPS) for step in range(_STEPS)]
        draw_scale(sheet, Bar(float(low), float(high), colours), trace.get("colorbar"), place.box, place.style)


def _readable(colour: Colour, place: Place) -> Colour:
    """The colour of letters on a cell: the figure's ink, or its opposite where ink would not stand out."""
    ink = place.style.colour
    paper = tuple(1.0 - round(part) for part in ink[:3])
    red, green, blue = (colour[3] * part + (1 - colour[3]) * paper[i] for i, part in enumerate(colour[:3]))
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    dark_ink = sum(ink[:3]) < 1.5
    return ink if light == dark_ink else (paper[0], paper[1], paper[2], 1.0)


def _edges(axis: Axis, values: Sequence[Any]) -> list[float]:
    """The pixels between cells: halfway from one value to the next, and as far beyond the ends."""
    places = [axis.place(value) for value in values]
    if len(places) == len(set(places)) == 1:
        return [_at(axis, places[0] - 0.5), _at(axis, places[0] + 0.5)]
    inner = [(a + b) / 2 for a, b in zip(places, places[1:], strict=False)]
    first, last = places[0] - (inner[0] - places[0]), places[-1] + (places[-1] - inner[-1])
    return [_at(axis, place) for place in (first, *inner, last)]


def _at(axis: Axis, place: float) -> float:
    return axis.start + (place - axis.low) / (axis.high - axis.low) * (axis.stop - axis.start)


def _opacity(trace: Mapping[str, Any], marker: Mapping[str, Any]) -> float:
    own = marker.get("opacity")
    return float(trace.get("opacity", 1.0)) * float(own if own is not None else 1.0)


def _paint(value: Any, opacity: float, otherwise: Colour = (0.0, 0.0, 0.0, 0.0)) -> Colour:
    if value is None:
        return (*otherwise[:3], otherwise[3] * opacity)
    if isinstance(value, tuple):
        return (value[0], value[1], value[2], value[3] * opacity)
    if not isinstance(value, str):
        must = "a mark's colour is named, not a number on a scale"
        raise PictureError(Problem(must, repr(value), "marker.color"))
    return rgba(value, opacity)


def _font(font: Any, style: Style) -> Style:
    font = font or {}
    colour = rgba(font["color"]) if isinstance(font.get("color"), str) else style.colour
    return Style(float(font.get("size", style.size)), colour)


def _shaped(points: Sequence[Point], shape: str) -> list[Point]:
    if shape == "linear":
        return list(points)
    if shape not in ("hv", "vh"):
        raise PictureError(Problem("a line is linear, hv or vh", repr(shape), "line.shape"))
    made = list(points[:1])
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        made += [(x1, y0) if shape == "hv" else (x0, y1), (x1, y1)]
    return made


def _fill(sheet: Sheet, trace: Mapping[str, Any], place: Place, path: Sequence[Point], before: Sequence[Point]) -> None:
    kind = trace.get("fill") or "none"
    whole = [point for point in path if not math.isnan(point[0] + point[1])]
    if kind == "none" or not whole:
        return
    if kind == "tonexty":
        back = [point for point in reversed(before) if not math.isnan(point[0] + point[1])]
    elif kind == "tozeroy":
        zero = place.y.pixel(0)
        back = [(whole[-1][0], zero), (whole[0][0], zero)]
    elif kind == "toself":
        back = []
    else:
        raise PictureError(Problem("a fill is tonexty, tozeroy or toself", repr(kind), "scatter.fill"))
    line = _paint((trace.get("line") or {}).get("color"), 0.5, place.style.colour)
    colour = _paint(trace.get("fillcolor"), float(trace.get("opacity", 1.0)), line)
    sheet.polygon([*whole, *back], colour, clip=place.box)


def _markers(sheet: Sheet, trace: Mapping[str, Any], place: Place, points: Sequence[Point], stroke: Colour) -> None:
    marker = trace.get("marker") or {}
    edge = marker.get("line") or {}
    count, opacity = len(points), _opacity(trace, marker)
    looks = zip(
        each(marker.get("symbol"), count, "circle"),
        each(marker.get("size"), count, 6),
        each(marker.get("color"), count, stroke),
        each(edge.get("color"), count, None),
        each(edge.get("width"), count, None),
        strict=True,
    )
    marked = [(look, point) for look, point in zip(looks, points, strict=True) if not math.isnan(point[0] + point[1])]
    for (symbol, size, colour, edge_colour, width), same in groupby(marked, key=lambda pair: pair[0]):
        fill = _paint(colour, opacity)
        shape, hollow, thin = outline(str(symbol))
        if hollow or thin:
            rim = _paint(edge_colour, opacity, (*fill[:3], fill[3])) if thin else fill
            face, thick = (0.0, 0.0, 0.0, 0.0), float(width if width is not None else 1)
        else:
            rim, face, thick = _paint(edge_colour, opacity), fill, float(width or 0)
        sheet.marks([point for _, point in same], shape, float(size), face, rim, thick, place.clip(trace))


def _texts(sheet: Sheet, trace: Mapping[str, Any], place: Place, points: Sequence[Point]) -> None:
    words = each(trace.get("text"), len(points), "")
    sides = each(trace.get("textposition"), len(points), "middle center")
    gap = 3 + float((trace.get("marker") or {}).get("size", 6)) / 2 if "markers" in str(trace.get("mode")) else 0.0
    style = _font(trace.get("textfont"), place.style)
    for word, beside, point in zip(words, sides, points, strict=True):
        upright, _, side = str(beside).partition(" ")
        x = {"left": "right", "right": "left"}.get(side, "center")
        y = {"top": "bottom", "bottom": "top"}.get(upright, "middle")
        shift = ({"left": gap, "right": -gap}.get(x, 0.0), {"top": gap, "bottom": -gap}.get(y, 0.0))
        if word and not math.isnan(point[0] + point[1]):
            sheet.write(lines_of(str(word), style), (point[0] + shift[0], point[1] + shift[1]), x, y)


def _errors(sheet: Sheet, trace: Mapping[str, Any], place: Place, points: Sequence[Point]) -> None:
    """Intervals: a stem from end to end and a cap on each, `width` pixels to either side."""
    for letter, axis in (("y", place.y), ("x", place.x)):
        error = trace.get(f"error_{letter}")
        if not error or error.get("visible") is False:
            continue
        if error.get("type", "data") != "data" or "array" not in error:
            must = "an interval gives its lengths as data"
            raise PictureError(Problem(must, repr(error.get("type")), f"error_{letter}"))
        colour, thick = rgba(error["color"]) if "color" in error else place.style.colour, error.get("thickness", 2)
        above = error["array"]
        below = above if error.get("symmetric", "arrayminus" not in error) else error.get("arrayminus") or []
        unit = (axis.stop - axis.start) / (axis.high - axis.low)
        cap = float(error.get("width", 4))
        for (x, y), up, down in zip(points, above, below, strict=False):
            if up is None or down is None or math.isnan(x + y):
                continue
            ends = (
                [(x, y + unit * up), (x, y - unit * down)]
                if letter == "y"
                else [(x + unit * up, y), (x - unit * down, y)]
            )
            sheet.line(ends, colour, thick, clip=place.clip(trace))
            for ex, ey in ends:
                bar = [(ex - cap, ey), (ex + cap, ey)] if letter == "y" else [(ex, ey - cap), (ex, ey + cap)]
                sheet.line(bar, colour, thick, clip=place.clip(trace))
