"""Pictures on the server without a browser: a figure as PNG or SVG, as it looks in the page.

Drawn with matplotlib (Agg and its SVG writer, its objects only, no pyplot): no browser, no system library, and nothing
shared between two calls, so that any thread may draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.drawing.axes import Axis, axes_of, on_axis, ticks_of
from app.charts.drawing.colours import PictureError, dressed, palette, rgba
from app.charts.drawing.contours import draw_contour
from app.charts.drawing.legend import header_of
from app.charts.drawing.letters import LINE_HEIGHT, Run, Style, lines_of, width_of
from app.charts.drawing.marks import Place, dash_of, draw_bars, draw_heatmap, draw_scatter, offsets
from app.charts.drawing.sheet import Box, Point, Sheet
from app.charts.roles import Figure
from merging_core.errors import Problem

__all__ = ["FORMS", "PictureError", "render"]

FORMS = ("png", "svg")
_NARROW = 480
_RANKS = {"heatmap": 0, "contour": 1, "bar": 2, "scatter": 3}
_MOST = 4000
_TICK = 3.5
"""Pixels between an axis and its labels."""
_PAD = 2.0
"""Pixels around the text of an annotation."""


def render(
    figure: Figure,
    *,
    form: str,
    theme: str = "light",
    width: int = 900,
    height: int = 420,
    scale: float = 2,
    title: str = "",
    legend: bool = True,
) -> bytes:
    """Draw a figure made by `app.charts` and return the file's bytes; the same figure gives the same bytes.

    `form`: png or svg. `theme`: light or dark. `width`, `height`: 100 to 4000 pixels; `scale`: dots a pixel, 0.5 to 4
    (PNG only). `title`: plain text, its first line bold; write split and n into a second one. Raises `PictureError` for
    a trace, axis, mark or colour that it does not know: nothing is left out silently.

    >>> from app.charts.roles import figure
    >>> bar = {"type": "bar", "x": [0, 1], "y": [0.4, 0.7], "marker": {"color": "role:merge"}}
    >>> render(figure([bar], {}), form="png")[:4]
    b'\\x89PNG'
    """
    _check(figure, form, width, height, scale)
    colours = palette(theme)
    made = dressed(_narrowed(figure) if width < _NARROW else {**figure, "narrow": {}}, colours)
    layout = made["layout"]
    traces = [{"type": "scatter", **trace} for trace in made["data"] if trace.get("visible", True) is True]
    font = layout.get("font") or {}
    style = Style(float(font.get("size", 12)), rgba(font.get("color", colours["ink"])))
    quiet = Style(style.size, rgba(colours["muted"]))
    sheet = Sheet(width, height, rgba(colours["surface"]))
    header = header_of(title, traces, width, style, quiet, legend=legend)
    margin = {"l": 80, "r": 80, "t": 100, "b": 80, **(layout.get("margin") or {})}
    area = (margin["l"], header.height + margin["t"], width - margin["r"], height - margin["b"])
    axes = axes_of(layout, traces, area)
    _shapes(sheet, layout, axes, area, "below")
    for axis in axes.values():
        if any(on_axis(trace, axis.name[0]) == axis.name for trace in traces):
            _draw_axis(sheet, axis, axes, layout, style)
    for pair in _subplots(traces, layout):
        _draw_traces(sheet, pair, traces, axes, layout, style)
    _shapes(sheet, layout, axes, area, "above")
    _annotations(sheet, layout, axes, area, style)
    header.draw(sheet)
    return sheet.png(scale) if form == "png" else sheet.svg(title)


def _check(figure: Figure, form: str, width: int, height: int, scale: float) -> None:
    problems = []
    if form not in FORMS:
        problems.append(Problem("a picture is png or svg", repr(form), "form"))
    for name, value in (("width", width), ("height", height)):
        if not 100 <= value <= _MOST:
            problems.append(Problem(f"a picture has 100 to {_MOST} pixels", str(value), name))
    if not 0.5 <= scale <= 4:
        problems.append(Problem("scale lies in [0.5, 4]", str(scale), "scale"))
    for trace in figure["data"]:
        kind = trace.get("type", "scatter")
        if kind not in _RANKS:
            must = "the server draws bar, scatter, heatmap and contour traces"
            problems.append(Problem(must, repr(kind), str(trace.get("name", "figure"))))
    if problems:
        raise PictureError(*problems)


def _narrowed(figure: Figure) -> Figure:
    """The figure as a narrow screen shows it; names are dotted as in `Plotly.relayout`."""
    layout = figure["layout"]
    for name, value in (figure.get("narrow") or {}).items():
        layout = _with(layout, name.split("."), value)
    return {**figure, "layout": layout}


def _with(tree: Mapping[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    key, *rest = keys
    return {**tree, key: _with(tree.get(key) or {}, rest, value) if rest else value}


def _subplots(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of axes in drawing order: a pair whose axis lies over another's comes after it."""
    pairs = dict.fromkeys((on_axis(trace, "x"), on_axis(trace, "y")) for trace in traces)
    over = {name for name in layout if (name[1:5] == "axis") and (layout[name] or {}).get("overlaying")}
    return sorted(pairs, key=lambda pair: any(f"{name[0]}axis{name[1:]}" in over for name in pair))


def _draw_traces(
    sheet: Sheet,
    pair: tuple[str, str],
    traces: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Axis],
    layout: Mapping[str, Any],
    style: Style,
) -> None:
    place = Place(axes[pair[0]], axes[pair[1]], style)
    mine = [trace for trace in traces if (on_axis(trace, "x"), on_axis(trace, "y")) == pair]
    bars = [trace for trace in mine if trace["type"] == "bar"]
    stands = iter(offsets(bars, layout))
    before: Sequence[Point] = ()
    for trace in sorted(mine, key=lambda trace: _RANKS[trace["type"]]):
        if trace["type"] == "heatmap":
            draw_heatmap(sheet, trace, place)
        elif trace["type"] == "contour":
            draw_contour(sheet, trace, place)
        elif trace["type"] == "bar":
            draw_bars(sheet, trace, place, next(stands))
        else:
            before = draw_scatter(sheet, trace, place, before)


def _across(axis: Axis, axes: Mapping[str, Axis]) -> Axis:
    """The axis that this one stands on."""
    other = "y" if axis.name[0] == "x" else "x"
    return axes.get(str(axis.spec.get("anchor") or other), axes[other])


def _draw_axis(sheet: Sheet, axis: Axis, axes: Mapping[str, Axis], layout: Mapping[str, Any], style: Style) -> None:
    spec, is_x = axis.spec, axis.name[0] == "x"
    if spec.get("visible") is False:
        return
    other = _across(axis, axes)
    side = spec.get("side") or ("bottom" if is_x else "left")
    edge = min(other.start, other.stop) if side in ("left", "top") else max(other.start, other.stop)
    ends = (other.start, other.stop)
    near, far = sorted((axis.start, axis.stop))
    ticks = ticks_of(axis)

    def line(at: float, colour: str, thick: float) -> None:
        points = [(at, ends[0]), (at, ends[1])] if is_x else [(ends[0], at), (ends[1], at)]
        sheet.line(points, rgba(colour), thick)

    if spec.get("showgrid", True) and axis.kind != "category":
        for pixel, _ in ticks:
            if near + 1 < pixel < far - 1:
                line(pixel, spec.get("gridcolor", "#e6e8ec"), spec.get("gridwidth", 1))
    if spec.get("zeroline", False) and near <= axis.pixel(0) <= far:
        line(axis.pixel(0), spec.get("zerolinecolor", spec.get("gridcolor", "#444444")), spec.get("zerolinewidth", 1))
    if spec.get("showline", "linecolor" in spec):
        points = [(axis.start, edge), (axis.stop, edge)] if is_x else [(edge, axis.start), (edge, axis.stop)]
        sheet.line(points, rgba(spec.get("linecolor", "#444444")), spec.get("linewidth", 1))
    reach = 0.0
    if spec.get("showticklabels", True):
        reach = _tick_labels(sheet, ticks, edge, side, spec, _styled(spec.get("tickfont"), style))
    _axis_title(sheet, axis, edge, side, reach, style)


def _styled(font: Mapping[str, Any] | None, style: Style) -> Style:
    font = font or {}
    return Style(float(font.get("size", style.size)), rgba(font["color"]) if font.get("color") else style.colour)


def _tick_labels(
    sheet: Sheet,
    ticks: Sequence[tuple[float, str]],
    edge: float,
    side: str,
    spec: Mapping[str, Any],
    style: Style,
) -> float:
    """Write the labels; return how far they reach away from the axis."""
    angle = float(spec.get("tickangle") or 0)
    reach = 0.0
    for pixel, text in ticks:
        lines = lines_of(text, style)
        wide, high = max(width_of(line) for line in lines), 1.3 * style.size * len(lines)
        if side == "bottom" and angle:
            sheet.write(lines, (pixel, edge + 6), "right" if angle < 0 else "left", "middle", angle)
            reach = max(reach, abs(wide * math.sin(math.radians(angle))) + high)
        elif side in ("bottom", "top"):
            sheet.write(
                lines,
                (pixel, edge + (_TICK if side == "bottom" else -_TICK)),
                "center",
                "top" if side == "bottom" else "bottom",
            )
            reach = max(reach, high + _TICK)
        else:
            left = side == "left"
            sheet.write(lines, (edge + (-4 if left else 4), pixel), "right" if left else "left", "middle", angle)
            reach = max(reach, wide + 4)
    return reach


def _axis_title(sheet: Sheet, axis: Axis, edge: float, side: str, reach: float, style: Style) -> None:
    title = axis.spec.get("title") or {}
    text = title if isinstance(title, str) else str(title.get("text") or "")
    if not text:
        return
    look = _styled(None if isinstance(title, str) else title.get("font"), style)
    gap = float(6 if isinstance(title, str) else title.get("standoff", 6))
    middle, away = (axis.start + axis.stop) / 2, reach + gap
    lines = lines_of(text, look)
    half = 0.65 * look.size * len(lines)
    if side == "bottom":
        sheet.write(lines, (middle, min(edge + away + half - 5, sheet.height - half)), "center", "middle")
    elif side == "top":
        sheet.write(lines, (middle, max(edge - away - half, half)), "center", "middle")
    elif side == "left":
        sheet.write(lines, (max(edge - away - half, half), middle), "center", "middle", -90)
    else:
        sheet.write(lines, (min(edge + away + half, sheet.width - half), middle), "center", "middle", 90)


def _pixel(value: Any, reference: str, letter: str, axes: Mapping[str, Axis], area: Box) -> float:
    """Where a shape's or annotation's coordinate lies: in an axis, in its domain, or in the whole paper."""
    name, _, domain = reference.partition(" ")
    if name == "paper" or domain:
        ends = (area[0], area[2]) if letter == "x" else (area[3], area[1])
        start, stop = ends if name == "paper" else (axes[name].start, axes[name].stop)
        return start + float(value) * (stop - start)
    if name not in axes:
        raise PictureError(Problem("a shape or annotation names an axis of the figure", repr(reference), "layout"))
    return axes[name].pixel(value)


def _shapes(sheet: Sheet, layout: Mapping[str, Any], axes: Mapping[str, Axis], area: Box, layer: str) -> None:
    for shape in layout.get("shapes") or []:
        if shape.get("layer", "above") != layer or shape.get("visible") is False:
            continue
        xref, yref = str(shape.get("xref", "x")), str(shape.get("yref", "y"))
        x0, x1 = (_pixel(shape[key], xref, "x", axes, area) for key in ("x0", "x1"))
        y0, y1 = (_pixel(shape[key], yref, "y", axes, area) for key in ("y0", "y1"))
        line, opacity = shape.get("line") or {}, float(shape.get("opacity", 1.0))
        stroke = rgba(line.get("color", "#444444"), opacity)
        width = float(line.get("width", 2))
        if shape["type"] == "line":
            sheet.line([(x0, y0), (x1, y1)], stroke, width, dash_of(line))
        elif shape["type"] == "rect":
            fill = rgba(shape.get("fillcolor", "rgba(0,0,0,0)"), opacity)
            sheet.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill, stroke, width)
        else:
            raise PictureError(
                Problem("the server draws shapes that are lines or rectangles", repr(shape["type"]), "layout.shapes")
            )


def _annotations(sheet: Sheet, layout: Mapping[str, Any], axes: Mapping[str, Axis], area: Box, style: Style) -> None:
    for note in layout.get("annotations") or []:
        if note.get("visible") is False:
            continue
        x = _pixel(note["x"], str(note.get("xref", "x")), "x", axes, area)
        y = _pixel(note["y"], str(note.get("yref", "y")), "y", axes, area)
        look = _styled(note.get("font"), style)
        arrow = note.get("showarrow", True)
        tip = (x, y)
        if arrow:
            x, y = x + float(note.get("ax", 0)), y + float(note.get("ay", -30))
            sheet.line([(x, y), tip], rgba(note["arrowcolor"]) if "arrowcolor" in note else look.colour, 1)
        else:
            x, y = x + float(note.get("xshift", 0)), y - float(note.get("yshift", 0))
        across, down = note.get("xanchor", "auto"), note.get("yanchor", "auto")
        if across == "auto":
            across = "center"
        x += {"left": _PAD, "right": -_PAD}.get(across, 0.0)
        if down == "auto":
            down = ("bottom" if y < tip[1] else "top") if arrow else "middle"
        lines = lines_of(str(note.get("text", "")), look)
        if note.get("bgcolor"):
            _ground(sheet, note, lines, (x, y), across, down)
        sheet.write(lines, (x, y), across, down, float(note.get("textangle", 0)))


def _ground(
    sheet: Sheet, note: Mapping[str, Any], lines: tuple[tuple[Run, ...], ...], at: Point, across: str, down: str
) -> None:
    """Draw the ground on which the words of an annotation stand."""
    pad = float(note.get("borderpad", 1)) + _PAD / 2
    width = max(width_of(line) for line in lines)
    height = sum(LINE_HEIGHT * max((run.style.size for run in line), default=12.0) for line in lines)
    left = at[0] - width * {"left": 0.0, "center": 0.5, "right": 1.0}[across]
    top = at[1] - height * {"top": 0.0, "middle": 0.5, "bottom": 1.0}[down]
    tint = rgba(note["bgcolor"], float(note.get("opacity", 1.0)))
    sheet.rectangle((left - pad, top - pad, left + width + pad, top + height + pad), tint)
