"""Axes: where a value lies on the sheet, which values get a tick, and how a tick reads."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.charts.drawing.colours import PictureError
from merging_core.errors import Problem

__all__ = ["Axis", "axes_of", "on_axis", "ticks_of"]

_FORMAT = re.compile(r",?(\.\d+)?[%fegd]|d")
_PADDING = 0.05


@dataclass(frozen=True)
class Axis:
    """One axis: `low` at pixel `start`, `high` at pixel `stop`; logarithms on a log axis, places of categories."""

    name: str
    spec: Mapping[str, Any]
    kind: str
    start: float
    stop: float
    low: float
    high: float
    categories: tuple[str, ...] = ()

    def pixel(self, value: Any) -> float:
        """Return the pixel of a value; not a number where there is none.

        >>> Axis("x", {}, "linear", 10.0, 110.0, 0.0, 2.0).pixel(0.5)
        35.0
        """
        place = self.place(value)
        return self.start + (place - self.low) / (self.high - self.low) * (self.stop - self.start)

    def place(self, value: Any) -> float:
        """Return a value in the axis's own terms."""
        return _place(value, self.kind, self.categories)

    def length(self) -> float:
        """Return how many pixels the axis takes."""
        return abs(self.stop - self.start)


def on_axis(trace: Mapping[str, Any], letter: str) -> str:
    """Return the name of the axis that a trace uses: `x`, `y2`, …"""
    return str(trace.get(f"{letter}axis") or letter)


def axes_of(
    layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]], area: tuple[float, float, float, float]
) -> dict[str, Axis]:
    """Lay out every axis that the traces or the layout name inside `area` (left, top, right, bottom)."""
    used = {on_axis(trace, letter) for trace in traces for letter in "xy"} | {"x", "y"}
    named = {key.replace("axis", "") for key in layout if re.fullmatch(r"[xy]axis\d*", key)}
    made = {name: _axis(name, layout, traces, area) for name in sorted(used | named)}
    for name, axis in made.items():
        other = str(axis.spec.get("scaleanchor") or "")
        if other in made:
            made[name], made[other] = _same_scale(axis, made[other])
    return made


def _same_scale(one: Axis, other: Axis) -> tuple[Axis, Axis]:
    """Make a unit as long on one axis as on the other: the axis on which it is longer becomes shorter."""
    units = [axis.length() / abs(axis.high - axis.low) for axis in (one, other)]
    shares = [min(units) / unit for unit in units]
    return _shorter(one, shares[0]), _shorter(other, shares[1])


def _shorter(axis: Axis, share: float) -> Axis:
    middle, half = (axis.start + axis.stop) / 2, share * (axis.stop - axis.start) / 2
    return replace(axis, start=middle - half, stop=middle + half)


def ticks_of(axis: Axis) -> list[tuple[float, str]]:
    """Return (pixel, text) of each tick: the figure's own, or every 1, 2 or 5 of a power of ten as plotly chooses."""
    values, texts = axis.spec.get("tickvals"), axis.spec.get("ticktext")
    if values is None:
        values, step = _chosen(axis)
    else:
        step = min((abs(b - a) for a, b in zip(values, values[1:], strict=False)), default=1.0) if not texts else 1.0
    if texts is None:
        texts = [_text(value, axis, step) for value in values]
    inside = ((axis.pixel(value), str(text)) for value, text in zip(values, texts, strict=False))
    near, far = sorted((axis.start, axis.stop))
    return [(pixel, text) for pixel, text in inside if near - 0.5 <= pixel <= far + 0.5]


def _axis(
    name: str, layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]], area: tuple[float, float, float, float]
) -> Axis:
    letter = name[0]
    spec = layout.get(f"{letter}axis{name[1:]}") or {}
    mine = [trace for trace in traces if on_axis(trace, letter) == name]
    values = [value for trace in mine for value in _values(trace, letter)]
    kind = spec.get("type") or ("category" if any(isinstance(value, str) for value in values) else "linear")
    if kind not in ("linear", "log", "category"):
        raise PictureError(Problem("an axis is linear, log or category", repr(kind), f"{letter}axis{name[1:]}"))
    categories = tuple(dict.fromkeys(str(value) for value in values)) if kind == "category" else ()
    low, high = spec.get("domain") or _named(layout, spec.get("overlaying")).get("domain") or (0.0, 1.0)
    left, top, right, bottom = area
    if letter == "x":
        start, stop = left + low * (right - left), left + high * (right - left)
    else:
        start, stop = bottom - low * (bottom - top), bottom - high * (bottom - top)
    given = spec.get("range") or _named(layout, spec.get("matches")).get("range")
    ends = tuple(given) if given else _range(mine, letter, kind, categories, spec, abs(stop - start))
    if spec.get("autorange") == "reversed":
        ends = ends[::-1]
    first, last = float(ends[0]), float(ends[1])
    return Axis(name, spec, kind, start, stop, first, last if last != first else first + 1.0, categories)


def _named(layout: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    """What the layout says of another axis, as `x2`; nothing where none is named."""
    found: Mapping[str, Any] | None = layout.get(f"{name[0]}axis{name[1:]}") if name else None
    return found or {}


def _values(trace: Mapping[str, Any], letter: str) -> list[Any]:
    given = trace.get(letter)
    if given is not None:
        return list(given)
    if trace["type"] in ("heatmap", "contour"):
        rows = trace.get("z") or []
        return list(range(len(rows) if letter == "y" else len(rows[0]) if rows else 0))
    return list(range(len(trace.get("y" if letter == "x" else "x") or [])))


def _place(value: Any, kind: str, categories: Sequence[str]) -> float:
    if value is None:
        return math.nan
    if kind == "category":
        return float(categories.index(value)) if value in categories else _number(value)
    number = _number(value)
    if kind == "log":
        return math.log10(number) if number > 0 else math.nan
    return number


def _number(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise PictureError(Problem("a value on this axis is a number", repr(value), "figure"))


def _range(
    traces: Sequence[Mapping[str, Any]],
    letter: str,
    kind: str,
    categories: Sequence[str],
    spec: Mapping[str, Any],
    length: float,
) -> tuple[float, float]:
    """What plotly's autorange does: the data, bars from zero, a twentieth of the axis around and room for markers."""
    places, solid, to_zero = [], False, spec.get("rangemode") == "tozero"
    for trace in traces:
        mine = [_place(value, kind, categories) for value in _values(trace, letter)]
        along = (trace.get("orientation") == "h") == (letter == "x")
        error = trace.get(f"error_{letter}") or {}
        above, below = error.get("array"), error.get("arrayminus") or error.get("array")
        if above and below and kind == "linear":
            rows = list(zip(mine, above, below, strict=False))
            mine += [value + (up or 0) for value, up, _ in rows] + [value - (down or 0) for value, _, down in rows]
        if trace["type"] == "heatmap" or (trace["type"] == "bar" and not along):
            half = _half(mine, trace)
            mine, solid = [end for value in mine for end in (value - half, value + half)], True
        elif trace["type"] == "contour":
            solid = True
        elif trace["type"] == "bar":
            to_zero = True
        places += [value for value in mine if math.isfinite(value)]
    low, high = (min(places), max(places)) if places else (0.0, 1.0)
    if to_zero and kind == "linear":
        low, high = min(low, 0.0), max(high, 0.0)
    marked = [
        trace for trace in traces if trace["type"] == "scatter" and "markers" in str(trace.get("mode", "markers"))
    ]
    if solid or (letter == "x" and not marked):
        return low, high
    if low == high:
        return low - 1.0, high + 1.0
    share = _PADDING + max((_reach(trace) for trace in marked), default=0.0) / max(length, 1.0)
    below, above = (0.0 if to_zero and end == 0 else min(share, 0.4) for end in (low, high))
    span = (high - low) / (1 - below - above)
    return low - below * span, high + above * span


def _reach(trace: Mapping[str, Any]) -> float:
    """How many pixels the largest marker of a trace reaches from its middle; at least three."""
    size = (trace.get("marker") or {}).get("size")
    sizes = size if isinstance(size, list | tuple) else [size]
    return max(3.0, *(float(one or 6) / 2 for one in sizes))


def _half(places: Iterable[float], trace: Mapping[str, Any]) -> float:
    width = trace.get("width")
    if isinstance(width, int | float):
        return float(width) / 2
    known = sorted({place for place in places if math.isfinite(place)})
    return min((b - a for a, b in zip(known, known[1:], strict=False)), default=1.0) / 2


def _chosen(axis: Axis) -> tuple[list[Any], float]:
    if axis.kind == "category":
        return list(axis.categories), 1.0
    low, high = sorted((axis.low, axis.high))
    if axis.kind == "log":
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        return [10.0**power for power in powers], 1.0
    wanted = axis.spec.get("nticks") or min(max(axis.length() / (40 if axis.name[0] == "y" else 80), 4), 9) + 1
    step = float(axis.spec.get("dtick") or _round_up((high - low) / wanted))
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)], step


def _round_up(rough: float) -> float:
    """Return the next 1, 2 or 5 of a power of ten.

    >>> _round_up(0.13), _round_up(0.3)
    (0.2, 0.5)
    """
    base = 10.0 ** math.floor(math.log10(rough))
    return next(factor * base for factor in (1, 2, 5, 10) if rough <= factor * base * (1 + 1e-9))


def _text(value: Any, axis: Axis, step: float) -> str:
    if isinstance(value, str):
        return value
    form = axis.spec.get("tickformat")
    if form:
        if not _FORMAT.fullmatch(form):
            raise PictureError(Problem("a tick format is one of .N%, .Nf, .Ne, .Ng, d", repr(form), "tickformat"))
        text = format(round(value) if form.endswith("d") else value, form)
    elif axis.kind == "log":
        text = f"{value:g}"
    else:
        text = f"{round(value, max(0, 1 - math.floor(math.log10(step)))) + 0.0:.10g}"
    return f"{axis.spec.get('tickprefix', '')}{text.replace('-', '−')}{axis.spec.get('ticksuffix', '')}"
