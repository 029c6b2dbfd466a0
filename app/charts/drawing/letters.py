"""Text as runs of one look: the few tags that figures use become colours and weights, everything else stays text."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.charts.drawing.colours import Colour, rgba

__all__ = ["LINE_HEIGHT", "Run", "Style", "font_file", "fitted", "lines_of", "plain", "width_of"]

LINE_HEIGHT = 1.3
_TAG = re.compile(r"<(/?)(b|i|br|span)((?:\s[^<>]*)?)/?>")
_COLOUR = re.compile(r"color:\s*([^;\"']+)")
_FULL_WIDTH = {"＄": "$", "＆": "&"}
_UNKNOWN = "□"


@dataclass(frozen=True)
class Style:
    """How letters look: size in pixels of the picture, colour, weight, slant."""

    size: float
    colour: Colour
    bold: bool = False
    italic: bool = False


@dataclass(frozen=True)
class Run:
    """Letters of one look on one line."""

    text: str
    style: Style


def lines_of(text: str, style: Style) -> tuple[tuple[Run, ...], ...]:
    """Split plotly's pseudo-HTML into lines of runs; tags other than b, i, br and span are shown as they are written.

    >>> [[run.text for run in line] for line in lines_of("<b>a</b> b<br><u>c", Style(12, (0, 0, 0, 1)))]
    [['a', ' b'], ['<u>c']]
    """
    lines: list[list[Run]] = [[]]
    looks = [style]
    end = 0
    for tag in _TAG.finditer(text):
        _add(lines[-1], text[end : tag.start()], looks[-1])
        end = tag.end()
        if tag[2] == "br":
            lines.append([])
        elif tag[1]:
            looks = looks[:-1] if len(looks) > 1 else looks
        else:
            looks = [*looks, _changed(looks[-1], tag[2], tag[3])]
    _add(lines[-1], text[end:], looks[-1])
    return tuple(tuple(line) for line in lines)


def plain(text: str, style: Style) -> tuple[tuple[Run, ...], ...]:
    """Return one line that shows `text` exactly, tags and all."""
    return ((Run(_drawable(text, style), style),),)


def fitted(text: str, style: Style, room: float) -> str:
    """Shorten `text` with an ellipsis until it is at most `room` pixels wide."""
    text = _drawable(text, style)
    if width_of((Run(text, style),)) <= room:
        return text
    while text and width_of((Run(text + "…", style),)) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def width_of(line: tuple[Run, ...]) -> float:
    """Return how many pixels a line takes: the sum of its letters' advances."""
    return sum(sum(_advance(letter, run.style) for letter in run.text) for run in line)


def font_file(style: Style) -> Path:
    """Return the font that comes with the renderer, so that a picture has the same letters on every machine."""
    import matplotlib

    name = {
        (False, False): "DejaVuSans.ttf",
        (True, False): "DejaVuSans-Bold.ttf",
        (False, True): "DejaVuSans-Oblique.ttf",
        (True, True): "DejaVuSans-BoldOblique.ttf",
    }[style.bold, style.italic]
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


def _changed(style: Style, tag: str, attributes: str) -> Style:
    if tag == "b":
        return replace(style, bold=True)
    if tag == "i":
        return replace(style, italic=True)
    found = _COLOUR.search(attributes)
    return replace(style, colour=rgba(found[1].strip())) if found else style


def _add(line: list[Run], text: str, style: Style) -> None:
    if text:
        line.append(Run(_drawable(html.unescape(text), style), style))


def _font(style: Style) -> Any:
    """The font at its size; the renderer keeps one for each thread."""
    from matplotlib.font_manager import get_font

    font = get_font(str(font_file(style)))
    font.set_size(style.size, 72)
    return font


def _advance(letter: str, style: Style) -> float:
    from matplotlib.ft2font import LoadFlags

    advance: int = _font(style).load_char(ord(letter), flags=LoadFlags.NO_HINTING).linearHoriAdvance
    return advance / 65536


def _drawable(text: str, style: Style) -> str:
    """What the font can draw: a letter that it lacks is a box; what cannot be printed is left out."""
    font = _font(style)
    letters = (_FULL_WIDTH.get(letter, letter) for letter in text if letter.isprintable())
    return "".join(letter if font.get_char_index(ord(letter)) else _UNKNOWN for letter in letters)
