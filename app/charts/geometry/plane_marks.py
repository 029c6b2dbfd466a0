"""What lies on a map of a plane: models with their names, the lines between them, and the lowest cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About
from app.charts.labels import Label, place
from app.charts.roles import colour, expert, inert

__all__ = ["labels_of", "lines_of", "lowest_of", "marks_of", "places_of"]

_PIXELS = 250.0
"""The side of a map on a narrow screen: labels that have room there have room everywhere."""
_NEAR = 1e-3
"""A model lies in the plane where its distance from it is less than this share of the window."""
_SHIFTS = {"left": -1, "right": 1, "center": 0, "top": 1, "bottom": -1, "middle": 0}

Numbers = Mapping[str, Any]


def places_of(numbers: Numbers, about: About) -> list[dict[str, Any]]:
    """Return the models that lie within the window, with title, colour, and how far beside the plane they are.

    Random directions lead away from the first model: every other one is nearest to where it stands, and left out.
    """
    low, high = (numbers["x"][0], numbers["y"][0]), (numbers["x"][-1], numbers["y"][-1])
    found = []
    for number, one in enumerate(numbers["places"]):
        if not (low[0] <= one["x"] <= high[0] and low[1] <= one["y"] <= high[1]):
            continue
        who = None if one["model"] is None else about["models"][one["model"]]
        title = inert("base" if who is None else who["title"], 22)
        beside = one["distance"] > _NEAR * (high[0] - low[0])
        if beside and numbers["kind"] == "random":
            continue
        found.append(
            {
                **one,
                "number": number,
                "title": title,
                "tint": _tint(who),
                "beside": beside,
                "label": f"{title}, {one['distance']:.2g} beside" if beside else title,
            }
        )
    return found


def _tint(who: Numbers | None) -> str:
    if who is None:
        return colour("base")
    return colour("merge") if who.get("kind") == "merge" else expert(who["colour"])


def lines_of(numbers: Numbers) -> list[dict[str, Any]]:
    """The straight lines between the models that the plane was laid through."""
    corners = [numbers["places"][place] for place in numbers["corners"]]
    if not corners:
        return []
    closed = [*corners, corners[0]] if numbers["kind"] == "models" else [corners[1], corners[0], corners[2]]
    common = {
        "type": "scatter",
        "mode": "lines",
        "showlegend": False,
        "x": [one["x"] for one in closed],
        "y": [one["y"] for one in closed],
        "hoverinfo": "skip",
    }
    return [
        {**common, "name": "ground of the lines", "opacity": 0.55, "line": {"color": colour("surface"), "width": 3.2}},
        {**common, "name": "lines between models", "line": {"color": colour("ink"), "width": 1.3, "dash": "dot"}},
    ]


def marks_of(places: Sequence[Numbers], split: str) -> list[dict[str, Any]]:
    """Models in the plane as full circles, over models beside it: rings at their nearest point."""
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": one["title"],
            "showlegend": False,
            "x": [one["x"]],
            "y": [one["y"]],
            "marker": {
                "size": 11,
                "symbol": "circle",
                "color": colour("surface") if one["beside"] else one["tint"],
                "line": {"width": 2.5 if one["beside"] else 2, "color": one["tint" if one["beside"] else "ring"]},
            },
            "hovertemplate": f"{one['label']}{_means(one, split)}<extra></extra>",
        }
        for one in ({**one, "ring": colour("surface")} for one in sorted(places, key=lambda one: not one["beside"]))
    ]


def _means(one: Numbers, split: str) -> str:
    """Say how the model itself does, which for a model beside the plane is not what the map shows under it."""
    rows = [score for score in one["scores"] if score["split"] == split]
    if not rows or any(score["loss"] is None for score in rows):
        return ""
    loss, accuracy = (sum(score[what] for score in rows) / len(rows) for what in ("loss", "accuracy"))
    return f"<br>itself: loss {loss:.3f}, accuracy {accuracy:.1%}"


def labels_of(numbers: Numbers, places: Sequence[Numbers]) -> list[dict[str, Any]]:
    """Names beside the models, none over another; one that has no room is left to the hover."""
    spots = [_pixel(numbers, one) for one in places]
    labels = [Label(one["label"], *spot) for one, spot in zip(places, spots, strict=True)]
    lowest = [_pixel(numbers, one) for one in numbers["lowest"] if one["loss"] is not None]
    sides = place(labels, [*spots, *lowest], (_PIXELS, _PIXELS))
    return [_label(one, *where.split(" ")) for one, where in zip(places, sides, strict=True) if where]


def _pixel(numbers: Numbers, spot: Numbers) -> tuple[float, float]:
    """Return where a spot of the plane lies on a map of a narrow screen."""
    left, top, side = numbers["x"][0], numbers["y"][-1], numbers["x"][-1] - numbers["x"][0]
    return _PIXELS * (spot["x"] - left) / side, _PIXELS * (top - spot["y"]) / side


def _label(one: Numbers, upright: str, across: str) -> dict[str, Any]:
    return {
        "text": one["label"],
        "x": one["x"],
        "y": one["y"],
        "xref": "x",
        "yref": "y",
        "showarrow": False,
        "xanchor": {"left": "right", "right": "left", "center": "center"}[across],
        "yanchor": {"top": "bottom", "bottom": "top", "middle": "middle"}[upright],
        "xshift": 8 * _SHIFTS[across],
        "yshift": 8 * _SHIFTS[upright],
        "font": {"size": 12, "color": colour("ink")},
        "bgcolor": colour("surface"),
        "opacity": 0.86,
        "borderpad": 2,
    }


def lowest_of(numbers: Numbers, split: str) -> list[dict[str, Any]]:
    """A cross at the lowest cell of a split."""
    found = next((one for one in numbers["lowest"] if one["split"] == split and one["loss"] is not None), None)
    if found is None:
        return []
    line = {"width": 1.2, "color": colour("surface")}
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "lowest cell",
            "showlegend": False,
            "x": [found["x"]],
            "y": [found["y"]],
            "marker": {"symbol": "x", "size": 9, "color": colour("merge"), "line": line},
            "hovertemplate": f"lowest of the measured cells: loss {found['loss']:.3f}, accuracy "
            f"{found['accuracy']:.1%}<br>at %{{x:.3g}}, %{{y:.3g}}<extra></extra>",
        }
    ]
