"""Labels beside points: each where nothing lies yet, and none where there is no room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SIDES", "Label", "place"]

SIDES = (
    "top right",
    "top left",
    "bottom right",
    "bottom left",
    "top center",
    "bottom center",
    "middle right",
    "middle left",
)
"""Where a label can stand beside its point, in plotly's words, the preferred place first."""
_LETTER, _LINE = 6.4, 14.0
_MARK = 5.0
_GAP = 4.0

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Label:
    """A text beside a point, in pixels from the upper left corner."""

    text: str
    x: float
    y: float


def place(
    labels: Sequence[Label], marks: Sequence[tuple[float, float]], room: tuple[float, float] | None = None
) -> list[str]:
    """Return the side of each label, or an empty text where it would cover a mark or a label before it.

    `room`: width and height that no label may leave, if there is such a thing.

    >>> place([Label("γ 0", 10, 30), Label("γ 0.2", 14, 30)], [(10, 30), (14, 30)])
    ['top right', 'top left']
    """
    marked = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in marks]
    placed: list[Box] = []
    sides = []
    for label in labels:
        boxes = {side: _box(label, side) for side in SIDES}
        free = (
            side
            for side, box in boxes.items()
            if _inside(box, room) and not any(_overlap(box, other) for other in (*marked, *placed))
        )
        side = next(free, "")
        if side:
            placed.append(boxes[side])
        sides.append(side)
    return sides


def _box(label: Label, side: str) -> Box:
    width = _LETTER * len(label.text)
    upright, _, across = side.partition(" ")
    left = {"left": label.x - _GAP - width, "right": label.x + _GAP}.get(across, label.x - width / 2)
    far = _MARK + 2
    top = {"top": label.y - far - _LINE, "bottom": label.y + far}.get(upright, label.y - _LINE / 2)
    if upright == "middle":
        left += {"left": -_GAP, "right": _GAP}[across]
    return left, top, left + width, top + _LINE


def _inside(box: Box, room: tuple[float, float] | None) -> bool:
    left, top, right, bottom = box
    return room is None or (left >= 0.0 and top >= 0.0 and right <= room[0] and bottom <= room[1])


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
