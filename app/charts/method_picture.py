"""What a method does to a sample of the visitor's own numbers: the plain mean along x, the merged number along y."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.charts.roles import Figure, axis, caption, colour, figure, inert

__all__ = ["figure_of"]

_KINDS = (
    ("split", "experts split", "expert-5", "diamond-open"),
    ("most", "most agree", "expert-1", "circle-open"),
    ("agree", "all agree", "merge", "circle"),
)
_INNER = 0.985
"""The share of the dots that lie inside the first view; the visitor can zoom out to the rest."""


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw a look at a method (see docs/architecture.md).

    A dot is one number of the model. On the dotted line the method gives the plain mean; dropped numbers are strokes on
    the line of zero. For methods that work on singular values, those of one matrix stand beside the dots.
    """
    dots, spectrum = numbers["dots"], numbers["spectrum"]
    power = _power(dots["mean"] + dots["merged"])
    x, y = ([value * 10.0**power for value in dots[name]] for name in ("mean", "merged"))
    wide, high = _reach(x), _reach(y)
    unit = f" (10{_raised(-power)})" if power else ""
    far = max(wide, high)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "plain mean",
            "x": [-far, far],
            "y": [-far, far],
            "line": {"color": colour("muted"), "width": 1.2, "dash": "dot"},
            "hoverinfo": "skip",
        }
    ]
    zero = [place for place, value in enumerate(y) if value == 0.0]
    traces.append(_dots("dropped", x, y, zero, "faint", "line-ns", 9))
    for kind, title, role, symbol in _KINDS:
        places = [place for place, one in enumerate(dots["agreement"]) if one == kind and y[place] != 0.0]
        if len(numbers["experts"]) > 1 or kind == "agree":
            traces.append(_dots(title, x, y, places, role, symbol, 5 if kind == "agree" else 6))
    what = "changes" if numbers["base"] else "weights"
    layout: dict[str, Any] = {
        "xaxis": axis(f"plain mean of the experts' {what}{unit}", range=[-wide, wide], nticks=5),
        "yaxis": axis(f"{inert(numbers['title'], 24)} at λ = 1", range=[-high, high], nticks=5),
        "margin": {"l": 52, "r": 12, "t": 12, "b": 38},
    }
    if spectrum is None:
        return figure(traces, layout)
    traces += [
        _values("plain sum", spectrum["sum"], colour("muted"), "dot"),
        _values(inert(numbers["title"], 24), spectrum["merged"], colour("merge"), "solid"),
    ]
    layout["xaxis"]["domain"] = [0.0, 0.56]
    layout["xaxis2"] = axis("singular value, largest first", domain=[0.68, 1.0], anchor="y2", nticks=4)
    layout["yaxis2"] = axis("", anchor="x2", rangemode="tozero", nticks=5)
    layout["annotations"] = [caption("spectrum of the matrix", 0.68)]
    layout["margin"]["t"] = 22
    narrow = {
        "xaxis.domain": [0.0, 1.0],
        "xaxis2.domain": [0.0, 1.0],
        "yaxis.domain": [0.54, 1.0],
        "yaxis2.domain": [0.0, 0.27],
        "annotations": [caption("spectrum of the matrix", 0.0, 0.28)],
    }
    return figure(traces, layout, narrow)


def _dots(
    name: str, x: Sequence[float], y: Sequence[float], places: Sequence[int], role: str, symbol: str, size: int
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x[place] for place in places],
        "y": [y[place] for place in places],
        "marker": {"size": size, "color": colour(role), "symbol": symbol, "line": {"color": colour(role), "width": 1}},
        "hovertemplate": f"{name}: plain mean %{{x:.3g}}, merged %{{y:.3g}}<extra></extra>",
    }


def _values(name: str, values: Sequence[float], tint: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(range(1, len(values) + 1)),
        "y": list(values),
        "xaxis": "x2",
        "yaxis": "y2",
        "line": {"color": tint, "width": 1.8, "dash": dash},
        "hovertemplate": f"{name}: %{{y:.3g}}<extra></extra>",
    }


def _power(values: Sequence[float]) -> int:
    """Return by which power of ten numbers are raised so that an axis can write them shortly.

    >>> _power([0.002, -0.004]), _power([0.5]), _power([0.0])
    (3, 0, 0)
    """
    largest = _reach(values)
    return 0 if largest >= 0.1 or largest == 0.0 else 3 * math.ceil(-math.log10(largest) / 3)  # noqa: PLR2004


def _reach(values: Sequence[float]) -> float:
    """Return the size that all but a few of the numbers stay below."""
    sizes = sorted(abs(value) for value in values) or [0.0]
    inner = sizes[min(len(sizes) - 1, int(_INNER * len(sizes)))]
    return 1.1 * inner or 1.1 * sizes[-1] or 1.0


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
