"""What stands over the chart in a picture: its title, what it was measured on, and what each mark means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.charts.drawing.colours import Colour, rgba
from app.charts.drawing.letters import Run, Style, fitted, lines_of, plain, width_of
from app.charts.drawing.marks import dash_of
from app.charts.drawing.sheet import Sheet
from app.charts.drawing.symbols import outline

__all__ = ["Header", "header_of"]

_SIDE, _SWATCH, _BETWEEN, _ROW = 14.0, 22.0, 16.0, 18.0
_TITLE, _LINE = 22.0, 17.0
_CLEAR: Colour = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Header:
    """Lines of words and rows of entries, with the room that they take from the top."""

    words: tuple[tuple[Run, ...], ...]
    rows: tuple[tuple[Mapping[str, Any], ...], ...]
    style: Style

    @property
    def height(self) -> float:
        """How many pixels the header takes."""
        if not self.words and not self.rows:
            return 0.0
        words = _TITLE * bool(self.words) + _LINE * max(len(self.words) - 1, 0)
        return 8 + words + _ROW * len(self.rows) + 4

    def draw(self, sheet: Sheet) -> None:
        """Draw it at the top of the sheet."""
        y = 8.0
        for i, line in enumerate(self.words):
            step = _TITLE if i == 0 else _LINE
            sheet.write((line,), (_SIDE, y + 0.5 * step), "left", "middle")
            y += step
        for row in self.rows:
            x = _SIDE
            for trace in row:
                _swatch(sheet, trace, x, y + 0.5 * _ROW, self.style)
                sheet.write(_name(trace, self.style), (x + _SWATCH + 5, y + 0.5 * _ROW), "left", "middle")
                x += _room(trace, self.style)
            y += _ROW


def header_of(
    title: str, traces: Sequence[Mapping[str, Any]], width: float, style: Style, quiet: Style, *, legend: bool
) -> Header:
    """Make the header of a picture: the title's first line bold, its further lines quiet, then the legend's rows."""
    first = replace(style, size=15, bold=True)
    looks = [first, *[replace(quiet, size=12)] * title.count("\n")]
    lines = zip(title.split("\n"), looks, strict=True) if title else ()
    words = tuple(line for text, look in lines for line in plain(fitted(text, look, width - 2 * _SIDE), look))
    small = replace(quiet, size=11.5)
    named = {str(trace["name"]): trace for trace in reversed(traces) if _is_named(trace)} if legend else {}
    entries = [trace for trace in traces if named.get(str(trace.get("name"))) is trace]
    entries.sort(key=lambda trace: trace.get("legendrank", 1000))
    rows: list[list[Mapping[str, Any]]] = []
    right = width
    for trace in entries if len(entries) > 1 else []:
        room = _room(trace, small)
        if right + room > width - _SIDE + _BETWEEN:
            rows.append([])
            right = _SIDE
        rows[-1].append(trace)
        right += room
    return Header(words, tuple(tuple(row) for row in rows), small)


def _is_named(trace: Mapping[str, Any]) -> bool:
    return (
        bool(trace.get("name")) and trace.get("showlegend") is not False and trace["type"] not in ("heatmap", "contour")
    )


def _name(trace: Mapping[str, Any], style: Style) -> tuple[tuple[Run, ...], ...]:
    return lines_of(str(trace["name"]), style)[:1]


def _room(trace: Mapping[str, Any], style: Style) -> float:
    return _SWATCH + 5 + width_of(_name(trace, style)[0]) + _BETWEEN


def _short(dash: tuple[float, ...]) -> tuple[float, ...]:
    """The dashes of a line, small enough to be seen twice in a swatch."""
    longest = max(dash, default=0.0)
    return tuple(length * min(1.0, 5.0 / longest) for length in dash)


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def _swatch(sheet: Sheet, trace: Mapping[str, Any], x: float, y: float, style: Style) -> None:
    """A small piece of the trace as it looks in the chart."""
    marker, line = trace.get("marker") or {}, trace.get("line") or {}
    edge = marker.get("line") or {}
    opacity = float(trace.get("opacity", 1.0))
    if trace["type"] == "bar" or trace.get("fill", "none") != "none":
        fill = _first(marker.get("color")) if trace["type"] == "bar" else trace.get("fillcolor")
        rim, width = _first(edge.get("color")), float(_first(edge.get("width")) or 0)
        box = (x + 4, y - 5, x + _SWATCH - 2, y + 5)
        sheet.rectangle(box, rgba(fill, opacity) if fill else _CLEAR, rgba(rim, opacity) if rim else _CLEAR, width)
        return
    mode = str(trace.get("mode") or "lines+markers")
    if "lines" in mode:
        stroke = rgba(line["color"], opacity) if line.get("color") else style.colour
        sheet.line([(x, y), (x + _SWATCH, y)], stroke, float(line.get("width", 2)), _short(dash_of(line)))
    if "markers" in mode:
        shape, hollow, thin = outline(str(_first(marker.get("symbol")) or "circle"))
        colour = _first(marker.get("color")) or line.get("color")
        paint = rgba(colour, opacity) if colour else style.colour
        size = min(float(_first(marker.get("size")) or 6), 12.0 / (1.4 if thin else 1.0))
        width = float(_first(edge.get("width")) or (1 if hollow or thin else 0))
        sheet.marks([(x + _SWATCH / 2, y)], shape, size, _CLEAR if hollow or thin else paint, paint, width)
