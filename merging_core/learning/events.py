"""What a run says while it goes on: frozen records, each of which `as_json` turns into plain values for a page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from merging_core.evaluation.intervals import Estimate
from merging_core.evaluation.report import Report
from merging_core.learning.contract import Shown
from merging_core.learning.robustness import Robust
from merging_core.recipes.recipe import Recipe

__all__ = ["Checked", "Ended", "Event", "Finished", "Paused", "Progress", "Trained", "Tried"]


@dataclass(frozen=True)
class Progress:
    """How far it is: after each step, or within one that takes long, at least twice a second."""

    step: int
    """Steps that are done."""
    steps: int
    phase: str
    loss: float | None
    """The total over all tasks of the last step; None before the first."""
    losses: tuple[float, ...]
    """Of each task."""
    shown: Shown
    seconds_left: float | None
    kind: ClassVar = "progress"

    def as_json(self) -> dict[str, object]:
        """Return plain values; numbers are rounded to what a chart can show."""
        return {
            "kind": self.kind,
            "step": self.step,
            "steps": self.steps,
            "phase": self.phase,
            "loss": _number(self.loss),
            "losses": [_number(loss) for loss in self.losses],
            "coefficients": [[_number(value) for value in row] for row in self.shown.coefficients],
            "density": [_number(value) for value in self.shown.density],
            "seconds_left": _number(self.seconds_left),
        }


@dataclass(frozen=True, eq=False)
class Checked:
    """What the weights at a step say on validation."""

    step: int
    report: Report
    best: bool
    """Whether this is the best check so far by the chosen criterion."""
    kind: ClassVar = "checked"

    def as_json(self) -> dict[str, object]:
        """Return plain values, without single examples."""
        return {"kind": self.kind, "step": self.step, "best": self.best, **self.report.as_json()}


@dataclass(frozen=True, eq=False)
class Tried(Checked):
    """A check of one of several soups, on the examples that choose. `best`: whether it is kept."""

    what: str
    """The model that was tried."""
    shares: tuple[float, ...]
    """The weight of each model in the soup that was measured."""
    difference: Estimate | None
    """Its accuracy − that of what was kept before, paired; None for the first."""
    robust: tuple[Robust, ...] = ()
    """How it did under attacks, where it was attacked."""

    def as_json(self) -> dict[str, object]:
        """Return plain values, without single examples."""
        tried = {
            "what": self.what,
            "shares": list(self.shares),
            "difference": None if self.difference is None else self.difference.as_json(),
            **({"robust": [robust.as_json() for robust in self.robust]} if self.robust else {}),
        }
        return {**super().as_json(), "tried": tried}


@dataclass(frozen=True)
class Paused:
    """The run stands still, and goes on when it is told to."""

    step: int
    kind: ClassVar = "paused"

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"kind": self.kind, "step": self.step}


@dataclass(frozen=True, eq=False, kw_only=True)
class Ended:
    """What all runs say at their end. `before` and `after`, of start and of what is kept, are on all of validation."""

    step: int
    """Steps that were done."""
    kept_step: int
    """After how many steps the weights were as they are kept."""
    before: Report
    after: Report
    split: str
    transductive: bool
    seen: bool
    """Whether the validation examples were learned from, so that the numbers are too good."""
    chosen_by: str
    """By which validation examples the kept step was chosen, so that `after` is a little too good; empty if by none."""
    stopped: bool
    """Whether it was told to stop before its last step."""
    seconds: float
    """Of training and checks, also before a stop."""
    held_out: bool = False
    """Whether no example that chose is among those of `before` and `after`, which then are not too good."""
    robust: tuple[tuple[Robust, Robust], ...] = ()
    """Under each attack, where there was one: of the start and of what is kept, on the examples of `before`."""
    kind: ClassVar = "ended"

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "step": self.step,
            "kept_step": self.kept_step,
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "split": self.split,
            "transductive": self.transductive,
            "seen": self.seen,
            "chosen_by": self.chosen_by,
            "held_out": self.held_out,
            "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
            **({"robust": [_pair(*pair) for pair in self.robust]} if self.robust else {}),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Finished(Ended):
    """A recipe came of it, whose tensors are in the store."""

    recipe: Recipe
    hash: str
    kind: ClassVar = "finished"

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {**super().as_json(), "recipe": self.recipe.as_json(), "hash": self.hash}


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained(Ended):
    """An expert came of it: a checkpoint folder with a README that says how it was trained. `before` is of the base."""

    folder: Path
    digest: str = ""
    """Of the content of its leaves."""
    plain: Report | None = None
    """Of the weights that training alone ended with, where the expert is an average over the training."""
    kind: ClassVar = "trained"

    def as_json(self) -> dict[str, object]:
        """Return plain values; where the folder lies is not among them."""
        plain = None if self.plain is None else self.plain.as_json()
        return {**super().as_json(), "digest": self.digest, "plain": plain}


Event = Progress | Checked | Paused | Ended


def _pair(before: Robust, after: Robust) -> dict[str, object]:
    return {"before": before.as_json(), "after": after.as_json()}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
