"""What all charts share: colours named by role, axes, and the frame around a figure."""

from __future__ import annotations

from typing import Any, Literal

__all__ = [
    "Figure",
    "axis",
    "caption",
    "colour",
    "expert",
    "figure",
    "fraction_axis",
    "inert",
    "scale",
    "scale_bar",
    "short",
]

Figure = dict[str, Any]


def colour(role: str) -> str:
    """Return the placeholder that a renderer replaces from `palette.json`, light or dark.

    >>> colour("merge")
    'role:merge'
    """
    return f"role:{role}"


def expert(index: int | None) -> str:
    """Return the colour of the expert at `index` (0 to 7, then round again); grey without one.

    >>> expert(9), expert(None)
    ('role:expert-1', 'role:base')
    """
    return colour("base") if index is None else colour(f"expert-{index % 8}")


def scale(kind: Literal["sequential", "diverging"]) -> list[list[Any]]:
    """Return the colours of a heat map, contour or surface, from its lowest value to its highest, in even steps.

    Sequential: from the ground of the page to full colour. Diverging: orange below the middle, violet above it.

    >>> scale("sequential")[0], scale("diverging")[4]
    ([0.0, 'role:sequential-0'], [0.5, 'role:diverging-4'])
    """
    return [[step / 8, colour(f"{kind}-{step}")] for step in range(9)]


def scale_bar(title: str = "", **more: Any) -> dict[str, Any]:
    """Return the bar that says which colour means which value; `title` stands over it."""
    return {
        "title": {"text": title, "side": "top", "font": {"size": 11.5, "color": colour("muted")}},
        "thickness": 10,
        "outlinewidth": 0,
        "tickfont": {"size": 11, "color": colour("muted")},
        "nticks": 6,
        "xpad": 8,
        "ypad": 2,
        **more,
    }


def inert(text: str, limit: int = 48) -> str:
    """Make a name from outside harmless in plotly's pseudo-HTML and MathJax, and short.

    >>> inert("<b>$x$</b>")
    '‹b›＄x＄‹/b›'
    """
    swaps = {"<": "‹", ">": "›", "&": "＆", "$": "＄"}
    clean = "".join(swaps.get(character, character) for character in text if character.isprintable())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def short(name: str) -> str:
    """Return the last part of a task's or checkpoint's name, fit for an axis.

    >>> short("tiny/digits")
    'digits'
    """
    return inert(name.rsplit("/", 1)[-1], 18)


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return one quiet axis: thin grid, no zero line, tabular ticks."""
    return {
        "title": {"text": title, "standoff": 6, "font": {"size": 12, "color": colour("muted")}},
        "gridcolor": colour("grid"),
        "linecolor": colour("line"),
        "tickfont": {"size": 11.5, "color": colour("muted")},
        "zeroline": False,
        "automargin": False,
        "fixedrange": False,
        **more,
    }


def fraction_axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis from 0 to 1 that is labelled in percent."""
    return axis(title, range=[0, 1], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1], **more)


def caption(text: str, x: float, y: float = 1.0, **more: Any) -> dict[str, Any]:
    """Return a quiet title over a part of a figure; `x` and `y` in fractions of the plot."""
    font = {"size": 12, "color": colour("muted")}
    place = {"x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {"text": text, **place, "showarrow": False, "font": font, **more}


def figure(data: list[dict[str, Any]], layout: dict[str, Any], narrow: dict[str, Any] | None = None) -> Figure:
    """Put traces into the frame that all charts share.

    `uirevision` keeps the visitor's zoom and legend through every update. `narrow` holds what a narrow screen sets
    otherwise, by dotted names as in `Plotly.relayout`.
    """
    frame = {
        "paper_bgcolor": colour("paper"),
        "plot_bgcolor": colour("paper"),
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": colour("ink")},
        "hoverlabel": {
            "bgcolor": colour("surface"),
            "bordercolor": colour("line"),
            "font": {"color": colour("ink"), "size": 12},
        },
        "margin": {"l": 46, "r": 12, "t": 10, "b": 34},
        "showlegend": False,
        "uirevision": "basin",
        "hovermode": "closest",
        "dragmode": "zoom",
    }
    return {"data": data, "layout": {**frame, **layout}, "narrow": narrow or {}}
