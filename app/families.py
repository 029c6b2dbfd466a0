"""The families of the zoo: checkpoints that share a base or an architecture, and the tasks they are measured on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from merging_core.errors import Problem, RecipeError, closest

__all__ = ["Expert", "Family", "family_named"]


@dataclass(frozen=True)
class Expert:
    """One expert of a family; its place gives its colour in every chart and control."""

    ref: str
    title: str
    colour: int
    task: str | None
    """The task it was fine-tuned on, if there is one."""
    description: str = ""
    """One sentence."""


@dataclass(frozen=True)
class Family:
    """What can be merged with what."""

    name: str
    title: str
    description: str
    base: str | None
    experts: tuple[Expert, ...]
    tasks: tuple[str, ...]
    start: dict[str, Any]
    """The recipe that the studio opens with, as JSON."""
    start_path: dict[str, Any] = field(default_factory=lambda: {"kind": "lambda"})
    """The path that it opens with."""

    @property
    def refs(self) -> tuple[str, ...]:
        """Return every checkpoint of the family, the base first."""
        return (*([self.base] if self.base else []), *(expert.ref for expert in self.experts))

    def title_of(self, ref: str) -> str:
        """Return the title of a checkpoint of this family."""
        plain = ref.partition("@")[0]
        return next((expert.title for expert in self.experts if expert.ref == plain), "base")

    def colour_of(self, ref: str) -> int | None:
        """Return the colour of an expert, or nothing for another checkpoint."""
        plain = ref.partition("@")[0]
        return next((expert.colour for expert in self.experts if expert.ref == plain), None)

    def title_of_task(self, task: str, otherwise: str) -> str:
        """Return the title of the expert of a task, or `otherwise` if no expert, or more than one, belongs to it."""
        titles = [expert.title for expert in self.experts if expert.task == task]
        return titles[0] if len(titles) == 1 else otherwise

    def colour_of_task(self, task: str) -> int | None:
        """Return the colour of the expert of a task, or nothing if no expert, or more than one, belongs to it."""
        colours = [expert.colour for expert in self.experts if expert.task == task]
        return colours[0] if len(colours) == 1 else None


def family_named(families: tuple[Family, ...], name: object) -> Family:
    """Return the family of this name.

    Raises: `RecipeError` with the closest name.
    """
    for family in families:
        if family.name == name:
            return family
    known = [family.name for family in families]
    shown = name if isinstance(name, str) else type(name).__name__
    raise RecipeError(
        Problem("the family is one of the zoo", str(shown)[:60], "family", closest(str(shown)[:60], known))
    )
