"""The bar beside a map that says which colour means which value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.charts.drawing.colours import Colour, rgba
from app.charts.drawing.letters import Style, lines_of
from app.charts.drawing.sheet import Box, Sheet

__all__ = ["Bar", "draw_scale"]

_GAP, _THICK, _TITLE = 10.0, 10.0, 16.0


@dataclass(frozen=True)
class Bar:
    """Values from `low` to `high`, and the colours between them in equal parts, the lowest first."""

    low: float
    high: float
    colours: Sequence[Colour]


def draw_scale(sheet: Sheet, bar: Bar, spec: Mapping[str, Any] | None, box: Box, style: Style) -> None:
    """Draw the bar to the right of `box`; `spec`: plotly's colour bar, of which title, ticks and fonts are heeded."""
    spec = spec or {}
    title, font = spec.get("title") or {}, spec.get("tickfont") or {}
    words = title if isinstance(title, str) else str(title.get("text") or "")
    small = Style(float(font.get("size", style.size)), rgba(font["color"]) if font.get("color") else style.colour)
    left, top, right, bottom = box[2] + _GAP, box[1] + (_TITLE if words else 0.0), box[2] + _GAP + _THICK, box[3]
    parts = len(bar.colours)
    for i, colour in enumerate(bar.colours):
        upper = bottom - (i + 1) / parts * (bottom - top)
        sheet.rectangle(
            (left, upper - (0.5 if i < parts - 1 else 0), right, bottom - i / parts * (bottom - top)), colour
        )
    for value, text in _ticks(bar, spec):
        y = bottom - (value - bar.low) / ((bar.high - bar.low) or 1.0) * (bottom - top)
        sheet.write(lines_of(text, small), (right + 4, y), "left", "middle")
    if words:
        sheet.write(lines_of(words, small), (left, box[1] + _TITLE / 2 - 3), "left", "middle")


def _ticks(bar: Bar, spec: Mapping[str, Any]) -> list[tuple[float, str]]:
    values = spec.get("tickvals")
    if values is None:
        return [(value, _plain(value)) for value in (bar.high, (bar.low + bar.high) / 2, bar.low)]
    texts = spec.get("ticktext") or [_plain(value) for value in values]
    return [(value, str(text)) for value, text in zip(values, texts, strict=True) if bar.low <= value <= bar.high]


def _plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
