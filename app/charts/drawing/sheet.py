"""The sheet that marks are drawn on: pixels from the top left, in the order in which they come."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Any

from app.charts.drawing.colours import Colour
from app.charts.drawing.letters import LINE_HEIGHT, Run, font_file, width_of

__all__ = ["Box", "Point", "Sheet"]

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

_CLEAR: Colour = (0.0, 0.0, 0.0, 0.0)
_LEFT = {"left": 0.0, "center": -0.5, "right": -1.0}
_ID = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_STYLE = re.compile(r"<style[^>]*>.*?</style>\s*", re.DOTALL)
_JOINS = "stroke-linejoin:round;stroke-linecap:butt"
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)


class Sheet:
    """One picture in the making; it belongs to one call and shares nothing with another."""

    def __init__(self, width: int, height: int, background: Colour) -> None:
        from matplotlib.figure import Figure
        from matplotlib.transforms import Affine2D

        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor=background, edgecolor=_CLEAR)
        scale = Affine2D().translate(0, -height).scale(1 / 72, -1 / 72)
        self._pixels = scale + self._figure.dpi_scale_trans
        self._count = 0
        self._words: list[str] = []

    def line(
        self,
        points: Sequence[Point],
        colour: Colour,
        width: float,
        dash: Sequence[float] = (),
        clip: Box | None = None,
    ) -> None:
        """Draw a line through `points`; a point that is not a number leaves a gap. `dash`: lengths in pixels."""
        from matplotlib.lines import Line2D

        if width <= 0 or len(points) < 2:
            return
        style: Any = (0, tuple(length / width for length in dash)) if dash else "solid"
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        made = Line2D(xs, ys, color=colour, linewidth=width, linestyle=style, marker="")
        made.set_dash_capstyle("butt")
        made.set_solid_capstyle("butt")
        made.set_solid_joinstyle("round")
        self._add(made, clip)

    def polygon(
        self,
        points: Sequence[Point],
        fill: Colour = _CLEAR,
        edge: Colour = _CLEAR,
        width: float = 0.0,
        clip: Box | None = None,
    ) -> None:
        """Fill the area inside `points`, with an edge of `width` pixels."""
        from matplotlib.patches import Polygon

        if len(points) < 3:
            return
        look: dict[str, Any] = {"facecolor": fill, "edgecolor": edge if width > 0 else _CLEAR, "linewidth": width}
        self._add(Polygon(list(points), closed=True, joinstyle="miter", **look), clip)

    def area(self, points: Sequence[Point], codes: Sequence[int], fill: Colour, clip: Box | None = None) -> None:
        """Fill an area with holes: rings one after the other, `codes` as matplotlib's paths have them."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        path = Path(list(points), list(codes))
        self._add(PathPatch(path, facecolor=fill, edgecolor=_CLEAR, linewidth=0), clip)

    def rectangle(
        self, box: Box, fill: Colour = _CLEAR, edge: Colour = _CLEAR, width: float = 0.0, clip: Box | None = None
    ) -> None:
        """Fill a box."""
        left, top, right, bottom = box
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, edge, width, clip)

    def marks(
        self,
        points: Sequence[Point],
        outline: Any,
        size: float,
        fill: Colour,
        edge: Colour,
        width: float,
        clip: Box | None = None,
    ) -> None:
        """Put the path `outline`, drawn for a diameter of 2, at each of `points` with a diameter of `size` pixels."""
        from matplotlib.lines import Line2D

        reach = max(abs(outline.vertices).max(), 1e-9)
        look: dict[str, Any] = {"markerfacecolor": fill, "markeredgecolor": edge, "markeredgewidth": width}
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        self._add(Line2D(xs, ys, linestyle="none", marker=outline, markersize=size * reach, **look), clip)

    def write(
        self,
        lines: tuple[tuple[Run, ...], ...],
        at: Point,
        xanchor: str = "left",
        yanchor: str = "baseline",
        angle: float = 0.0,
    ) -> None:
        """Write lines of runs at a point; `yanchor`: top, middle, bottom or the first line's baseline.

        `angle` turns the whole around the point, in degrees, clockwise as in plotly.
        """
        sizes = [max((run.style.size for run in line), default=12.0) for line in lines]
        heights = [LINE_HEIGHT * size for size in sizes]
        top = {"top": 0.0, "middle": -sum(heights) / 2, "bottom": -sum(heights)}.get(yanchor, -0.98 * sizes[0])
        for line, size, height in zip(lines, sizes, heights, strict=True):
            across = _LEFT[xanchor] * width_of(line)
            down = top + 0.5 * (height - size) + 0.83 * size if yanchor != "baseline" else top + 0.98 * size
            for run in line:
                self._run(run, at, across, down, angle)
                across += width_of((run,))
            top += height
        self._words.append(" ".join("".join(run.text for run in line) for line in lines).strip())

    def png(self, scale: float) -> bytes:
        """Return the picture as PNG with `scale` dots a pixel."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self._figure.set_dpi(72 * scale)
        page = io.BytesIO()
        canvas: Any = FigureCanvasAgg(self._figure)
        canvas.print_png(page, metadata={"Software": None})
        return page.getvalue()

    def svg(self, title: str) -> bytes:
        """Return the picture as SVG: letters as paths, no dates, no links, ids that follow from the content."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        page = io.StringIO()
        canvas: Any = FigureCanvasSVG(self._figure)
        canvas.print_svg(page, metadata={"Date": None, "Creator": None})
        text = _STYLE.sub("", _METADATA.sub("", _COMMENT.sub("", page.getvalue())))
        text = _steady(text[text.index("<svg") :])
        about = f"<title>{escape(title)}</title><desc>{escape(' · '.join(word for word in self._words if word))}</desc>"
        head, _, body = text.partition(">")
        head = head.replace('pt"', '"')
        return f'{head} role="img" style="{_JOINS}">{about}{body}'.encode()

    def _add(self, artist: Any, clip: Box | None) -> None:
        from matplotlib.transforms import Bbox, TransformedBbox

        self._count += 1
        artist.set_zorder(self._count)
        artist.set_transform(self._pixels)
        if clip is not None:
            left, top, right, bottom = clip
            upright = Bbox.from_extents(left / 72, (self.height - bottom) / 72, right / 72, (self.height - top) / 72)
            artist.set_clip_box(TransformedBbox(upright, self._figure.dpi_scale_trans))
        self._figure.add_artist(artist)

    def _run(self, run: Run, at: Point, across: float, down: float, angle: float) -> None:
        from matplotlib.font_manager import FontProperties
        from matplotlib.text import Text

        turn = math.radians(angle)
        x = at[0] + across * math.cos(turn) - down * math.sin(turn)
        y = at[1] + across * math.sin(turn) + down * math.cos(turn)
        font = FontProperties(fname=str(font_file(run.style)), size=run.style.size)
        place: dict[str, Any] = {"rotation": -angle, "rotation_mode": "anchor", "horizontalalignment": "left"}
        look: dict[str, Any] = {"color": run.style.colour, "fontproperties": font, "parse_math": False, "usetex": False}
        self._add(Text(x, y, run.text, verticalalignment="baseline", **place, **look), None)


def _steady(text: str) -> str:
    """Give ids names that follow from the content alone, so that the same figure is the same file."""
    names = {match[2]: str(i) for i, match in enumerate(_ID.finditer(text)) if match[1].endswith('id="')}
    numbered = _ID.sub(lambda match: match[1] + names.get(match[2], match[2]), text)
    mark = sha256(numbered.encode()).hexdigest()[:8]
    return _ID.sub(lambda match: f"{match[1]}b{mark}-{names[match[2]]}" if match[2] in names else match[0], text)
