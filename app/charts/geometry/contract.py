"""What a drawing of a study is: which figures it has, and one pure function from numbers to figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.charts.roles import Figure

__all__ = ["About", "Draw", "Drawing", "FigureInfo"]

About = Mapping[str, Any]
"""Who is drawn, in the order asked for: `models` of `ref`, `title`, `colour`; `tasks` of `task`, `title`, `colour`."""

Draw = Callable[[Mapping[str, Any], About], Mapping[str, Figure]]
"""(numbers, about) -> figures by name; a figure whose numbers are not there yet is left out."""


@dataclass(frozen=True)
class FigureInfo:
    """One figure of a study: the stem of its files, its title, one sentence for people, its height in pixels.

    `height`: what it takes on a wide screen. `table`: which of the study's tables has its numbers; the first one
    unless named. `wide`: whether it takes the whole width; the others stand side by side where there is room. `solid`:
    whether it is a body in three dimensions, which only a page with WebGL draws; its contour says the same elsewhere.
    `narrow`: its height on a phone, where that is another one.
    """

    name: str
    title: str
    sentence: str
    height: int = 320
    table: str = ""
    wide: bool = True
    solid: bool = False
    narrow: int = 0

    def as_json(self) -> dict[str, object]:
        """Return what the page needs to make room for it."""
        return {
            "name": self.name,
            "title": self.title,
            "sentence": self.sentence,
            "height": self.height,
            "table": self.table,
            "wide": self.wide,
            "solid": self.solid,
            "narrow": self.narrow,
        }


@dataclass(frozen=True)
class Drawing:
    """The figures of a study in the order in which they stand on the page, and how they are drawn."""

    figures: tuple[FigureInfo, ...]
    draw: Draw = field(repr=False)
