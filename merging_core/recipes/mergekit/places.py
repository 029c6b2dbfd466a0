"""Where something stands in a mergekit recipe: its line, and the way to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from merging_core.errors import Problem
from merging_core.methods.info import shown
from merging_core.recipes.plain_yaml import TreePath

__all__ = ["Places", "line_of", "way"]

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def way(path: TreePath) -> str:
    """Return the way to a value as people write it.

    >>> way(("models", 1, "parameters", "weight"))
    'models[1].parameters.weight'
    """
    steps = (f"[{step}]" if isinstance(step, int) else f".{shown(step, quoted=False)}" for step in path)
    return "".join(steps).removeprefix(".")


def line_of(problem: Problem) -> int:
    """Return the line that a located problem names.

    >>> line_of(Problem("a key is known", "b", "line 12: b"))
    12
    """
    return int(problem.where.removeprefix("line ").partition(":")[0])


@dataclass(frozen=True)
class Places:
    """The lines of a text, and from where in it each part of a recipe comes.

    >>> places = Places({(): 1, ("dtype",): 4}, {"dtype": ("dtype",)})
    >>> places.at(("dtype",)), places.of("dtype")
    ('line 4: dtype', 'line 4: dtype')
    """

    lines: Mapping[TreePath, int]
    origins: Mapping[str, TreePath] = field(default_factory=dict)
    """From a place in our recipe, such as `models[0].weight`, to where its value stands in the text."""

    def at(self, path: TreePath) -> str:
        """Return the line and the way to a value."""
        known = path
        while known not in self.lines:
            known = known[:-1]
        return f"line {self.lines[known]}: {way(path)}" if path else f"line {self.lines[known]}"

    def of(self, where: str) -> str:
        """Return the line and the way to what became of it in our recipe; `where` may lie inside of such a place."""
        nearest = max((place for place in self.origins if _within(where, place)), key=len, default=None)
        if nearest is None:
            return self.at(())
        inside = _STEP.findall(where[len(nearest) :])
        return self.at((*self.origins[nearest], *(int(place) if place else name for place, name in inside)))

    def told(self, problem: Problem) -> Problem:
        """Return a problem of our recipe as one of the text, without advice on our defaults, which mergekit lacks."""
        fix = "" if problem.fix.startswith("the default is") else problem.fix
        return replace(problem, where=self.of(problem.where), fix=fix)


def _within(where: str, place: str) -> bool:
    return where == place or (where.startswith(place) and where[len(place)] in ".[")
