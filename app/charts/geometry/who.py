"""What the models of a study are called in figures, and their colours."""

from __future__ import annotations

from app.charts.geometry.contract import About
from app.charts.roles import colour, expert, inert

__all__ = ["model_colour", "model_name"]


def model_name(place: int | None, about: About) -> str:
    """Return the title of the model at a place, short and inert; `None` is the base.

    >>> model_name(0, {"models": [{"title": "Digits <b>"}]}), model_name(None, {})
    ('Digits ‹b›', 'base')
    """
    return "base" if place is None else inert(about["models"][place]["title"], 18)


def model_colour(place: int | None, about: About) -> str:
    """Return the colour of the model at a place: a merge has the one accent, the base is grey.

    >>> model_colour(0, {"models": [{"colour": None, "kind": "merge"}]}), model_colour(None, {})
    ('role:merge', 'role:base')
    """
    if place is None:
        return colour("base")
    model = about["models"][place]
    return colour("merge") if model.get("kind") == "merge" else expert(model["colour"])
