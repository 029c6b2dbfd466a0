"""Roles become colours, light or dark, and colours become numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merging_core.errors import BasinError, Problem, closest

__all__ = ["THEMES", "Colour", "PictureError", "dressed", "palette", "rgba", "scale_colour"]

Colour = tuple[float, float, float, float]
"""Red, green, blue and opacity, each from 0 to 1."""

THEMES = ("light", "dark")
_ROLE = re.compile(r"role:([a-z0-9-]+)")
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_FUNCTION = re.compile(r"rgba?\(\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*(?:,\s*([\d.]+)\s*)?\)")


class PictureError(BasinError):
    """A figure asks for something that the server's renderer does not draw, or a size that it does not make."""


def palette(theme: str) -> dict[str, str]:
    """Return the colour of each role from `palette.json`; `theme` is `light` or `dark`, else `PictureError`.

    >>> palette("light")["surface"]
    '#ffffff'
    """
    if theme not in THEMES:
        raise PictureError(Problem("a theme is light or dark", repr(theme), "theme"))
    text = (Path(__file__).parents[1] / "palette.json").read_text(encoding="utf-8")
    colours: dict[str, str] = json.loads(text)[theme]
    return colours


def dressed(value: Any, colours: Mapping[str, str]) -> Any:
    """Return a copy of `value` in which every `role:name` is that role's colour, as the page does it.

    >>> dressed({"color": ["role:merge", None]}, {"merge": "#5b34d6"})
    {'color': ['#5b34d6', None]}
    """
    if isinstance(value, str):
        return _ROLE.sub(lambda match: _of_role(match[1], colours), value)
    if isinstance(value, Mapping):
        return {key: dressed(inner, colours) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [dressed(inner, colours) for inner in value]
    return value


def _of_role(role: str, colours: Mapping[str, str]) -> str:
    if role in colours:
        return colours[role]
    raise PictureError(Problem("a colour's role is in palette.json", repr(role), "figure", closest(role, colours)))


def rgba(text: str, opacity: float = 1.0) -> Colour:
    """Read `#rgb`, `#rrggbb`, `rgb(…)` or `rgba(…)`, and make it more transparent by `opacity`.

    >>> rgba("rgba(255, 0, 0, 0.5)", 0.5)
    (1.0, 0.0, 0.0, 0.25)
    """
    if _HEX.fullmatch(text):
        digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
        red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        return (red, green, blue, opacity)
    if match := _FUNCTION.fullmatch(text):
        red, green, blue = (min(float(part) / 255, 1.0) for part in match.group(1, 2, 3))
        return (red, green, blue, min(float(match[4] or 1), 1.0) * opacity)
    must = "a colour is written #rgb, #rrggbb, rgb(…), rgba(…) or as a role"
    raise PictureError(Problem(must, repr(text), "figure"))


def scale_colour(scale: list[list[Any]], share: float) -> Colour:
    """Return the colour at `share` (0 to 1) of a scale `[[0, colour], …, [1, colour]]`, straight between its stops.

    >>> scale_colour([[0, "#000000"], [1, "#ffffff"]], 0.5)
    (0.5, 0.5, 0.5, 1.0)
    """
    share = min(max(share, 0.0), 1.0)
    stops = [(float(place), rgba(text)) for place, text in scale]
    below = max((stop for stop in stops if stop[0] <= share), key=lambda stop: stop[0], default=stops[0])
    above = min((stop for stop in stops if stop[0] >= share), key=lambda stop: stop[0], default=stops[-1])
    gap = above[0] - below[0]
    part = (share - below[0]) / gap if gap > 0 else 0.0
    red, green, blue, alpha = (low + part * (high - low) for low, high in zip(below[1], above[1], strict=True))
    return (red, green, blue, alpha)
