"""Averages over the trajectory of a training run, kept while it goes on: as the merge methods of these names have them.

What an average remembers lies among the run's values, under `average/…`, so that a run that goes on has it. Sums are in
float64. SWA and EMA hold one vector, SWAD one for each check that it looks back on, LAWA its last checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from merging_core.learning.contract import Draw, Values
from merging_core.learning.leaves import wide
from merging_core.methods.contract import CombineContext
from merging_core.methods.info import ParameterInfo, Parameters, ParameterValue
from merging_core.methods.trajectories import LAWA

__all__ = [
    "EMA_PARAMETERS",
    "LAWA_PARAMETERS",
    "SWAD_PARAMETERS",
    "SWA_PARAMETERS",
    "WEIGHTS",
    "Average",
    "EmaAverage",
    "LawaAverage",
    "SwaAverage",
    "SwadAverage",
    "counted",
    "every_of",
    "none",
    "number",
    "start_of",
]

WEIGHTS = "weights"
"""What a member of one alone is called among the values."""


def number(  # noqa: PLR0913
    average: str,
    name: str,
    title: str,
    default: float,
    text: str,
    low: float,
    high: float,
    *,
    slider: tuple[float, float],
) -> ParameterInfo:
    """Return a number that only one average has."""
    only = ("average", average)
    return ParameterInfo(f"{average}_{name}", title, "number", default, text, low, high, slider=slider, only_when=only)


def counted(  # noqa: PLR0913
    average: str, name: str, title: str, default: int, text: str, low: int = 1, most: int = 100_000
) -> ParameterInfo:
    """Return a whole number that only one average has."""
    slider, only = (low, max(20, default)), ("average", average)
    return ParameterInfo(
        f"{average}_{name}", title, "integer", default, text, low, most, step=1, slider=slider, only_when=only
    )


def start_of(average: str) -> ParameterInfo:
    """Return from when on an average counts."""
    text = "The share of the steps that is over before the first checkpoint counts."
    return number(average, "start", "Starts after", 0.5, text, 0.0, 0.95, slider=(0.0, 0.9))


def every_of(average: str, default: int) -> ParameterInfo:
    """Return how far its checkpoints lie apart."""
    return counted(average, "every", "Every", default, "Steps between two checkpoints that are averaged.")


SWA_PARAMETERS = (start_of("swa"), every_of("swa", 5))
LAWA_PARAMETERS = (
    every_of("lawa", 20),
    counted("lawa", "last", "Last", 6, "How many of the last checkpoints are averaged.", 1, 64),
)
EMA_PARAMETERS = (
    number(
        "ema", "decay", "Decay", 0.99, "How much of the average is kept at each step.", 0.0, 1.0, slider=(0.9, 0.999)
    ),
    ParameterInfo(
        "ema_start_at",
        "Starts at",
        "choice",
        "zero",
        "Whether the average starts at the base, or at zero and is corrected for that: then the base does not count.",
        choices=("first", "zero"),
        only_when=("average", "ema"),
    ),
)
SWAD_PARAMETERS = (
    counted("swad", "converged", "Converged", 3, "The window begins where so many checks fall no further.", 1, 32),
    counted("swad", "overfit", "Overfit", 6, "It ends where so many checks are all above the tolerance.", 1, 32),
    number(
        "swad", "tolerance", "Tolerance", 1.3, "How many times the loss at its beginning may be reached.", 1.0, 10.0,
        slider=(1.0, 2.0),
    ),
)  # fmt: skip


class Average:
    """No average: the expert is what was trained last. Others override what they do otherwise.

    Shapes: M is the number of scalars that move; `weights` is [M].
    """

    members: tuple[str, ...] = (WEIGHTS,)
    """The values that steps train, one update each."""
    hears = False
    """Whether it is told the validation loss at each check."""

    def __init__(self, params: Parameters, seed: int) -> None:
        self.params, self.seed = params, seed

    def start(self, weights: torch.Tensor) -> Values:
        """Return what it remembers at the beginning, by names that begin with `average/`."""
        return {}

    def trained(self, values: Mapping[str, torch.Tensor], draw: Draw) -> torch.Tensor:
        """Return the weights that an update trains, differentiable in its value."""
        return values[self.members[draw.update]]

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return what the expert would be if training ended now."""
        return values[WEIGHTS]

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Take in the weights after a step of so many."""

    def heard_(self, values: Values, loss: float) -> None:
        """Take in the validation loss of the weights at a check."""

    def own(self, name: str) -> ParameterValue:
        """Return a parameter of its own."""
        return self.params[f"{self.params['average']}_{name}"]

    def whole(self, name: str) -> int:
        """Return a whole number of its own."""
        return int(self.params.number(f"{self.params['average']}_{name}"))

    def due(self, step: int, steps: int) -> bool:
        """Say whether the weights after a step are a checkpoint: every so many steps after the start."""
        first = math.floor(self.params.number(f"{self.params['average']}_start") * steps) if self._starts() else 0
        return step > first and (step - first) % self.whole("every") == 0

    def _starts(self) -> bool:
        return f"{self.params['average']}_start" in self.params


class SwaAverage(Average):
    """The mean of the checkpoints after the start."""

    def start(self, weights: torch.Tensor) -> Values:
        """Return no sum."""
        return {"average/sum": torch.zeros_like(wide(weights)), "average/count": none()}

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Add a checkpoint."""
        if self.due(step, steps):
            values["average/sum"] += wide(values[WEIGHTS])
            values["average/count"] += 1

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean; before there is one, the weights."""
        count = int(values["average/count"])
        return (values["average/sum"] / count).to(values[WEIGHTS]) if count else values[WEIGHTS]


class EmaAverage(Average):
    """An exponential moving average over the steps, from the base or corrected for its start at zero."""

    def start(self, weights: torch.Tensor) -> Values:
        """Return the base, or zero."""
        first = self.own("start_at") == "first"
        return {"average/mean": wide(weights).clone() if first else torch.zeros_like(wide(weights)),
                "average/count": none()}  # fmt: skip

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Take a step in."""
        decay = float(self.params.number("ema_decay"))
        values["average/mean"].mul_(decay).add_(wide(values[WEIGHTS]), alpha=1.0 - decay)
        values["average/count"] += 1

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the average."""
        count, mean = int(values["average/count"]), values["average/mean"]
        decay = float(self.params.number("ema_decay"))
        if self.own("start_at") == "first":
            return mean.to(values[WEIGHTS])
        seen = 1.0 - decay**count
        return (mean / seen).to(values[WEIGHTS]) if seen > 0.0 else values[WEIGHTS]


class LawaAverage(Average):
    """The mean of the last few checkpoints."""

    def start(self, weights: torch.Tensor) -> Values:
        """Return places for the last checkpoints."""
        return {"average/points": weights.new_zeros((self.whole("last"), len(weights))),
                "average/count": none()}  # fmt: skip

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Put a checkpoint in the place of the oldest."""
        if self.due(step, steps):
            count = int(values["average/count"])
            values["average/points"][count % self.whole("last")] = values[WEIGHTS]
            values["average/count"] += 1

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean; before there is one, the weights."""
        count, last = int(values["average/count"]), self.whole("last")
        if not count:
            return values[WEIGHTS]
        points = values["average/points"]
        ordered = points.roll(-count, 0) if count > last else points[:count]
        context = CombineContext(Parameters(last=last))
        return LAWA.combine(ordered, ordered.new_ones(len(ordered)), context)


class SwadAverage(Average):
    """The mean of all steps from where the validation loss stopped falling to where it is too high again.

    Algorithm 1 of the paper at each check: ℓ = r·mean of the last N_s losses where the first of them is the least; the
    window ends N_e checks before the one at which the last N_e losses are all above ℓ. A segment is the steps between
    two checks. Where the loss never stops falling the window is the whole run.
    """

    hears = True

    def start(self, weights: torch.Tensor) -> Values:
        """Return nothing seen."""
        held = self._held()
        return {
            "average/segment": torch.zeros_like(wide(weights)),
            "average/held": torch.zeros((held, len(weights)), dtype=torch.float64, device=wide(weights).device),
            "average/window": torch.zeros_like(wide(weights)),
            "average/counts": torch.zeros(held + 2, dtype=torch.int64),
            "average/losses": torch.full((held,), math.nan, dtype=torch.float64),
            "average/inside": torch.ones(held, dtype=torch.int64),
            "average/threshold": torch.tensor([math.nan, 0.0], dtype=torch.float64),
        }

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Add the weights to the segment that goes on."""
        values["average/segment"] += wide(values[WEIGHTS])
        values["average/counts"][0] += 1

    def heard_(self, values: Values, loss: float) -> None:
        """End a segment, and see whether the window begins or ends here."""
        counts, losses, inside = values["average/counts"], values["average/losses"], values["average/inside"]
        held, threshold = values["average/held"], values["average/threshold"]
        if not counts[0] or threshold[1]:
            return
        self._leave_(values, 0)
        for moved in (held, losses, inside, counts[2:]):
            moved.copy_(moved.roll(-1, 0))
        held[-1], losses[-1], inside[-1], counts[-1] = values["average/segment"], loss, 1, counts[0]
        values["average/segment"].zero_()
        counts[0] = 0
        converged, overfit = self.whole("converged"), self.whole("overfit")
        last = losses[-converged:]
        if torch.isnan(threshold[0]):
            if bool(torch.isfinite(last).all()) and last[0] == last.min():
                threshold[0] = self.params.number("swad_tolerance") * last.mean()
                values["average/window"].zero_()
                counts[1] = 0
                inside[:-converged] = 0
        elif bool((losses[-overfit:] > threshold[0]).all()):
            threshold[1] = 1.0
            for place in range(len(losses) - overfit):
                self._leave_(values, place)

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean of the window; while it is open, up to now."""
        counts, inside = values["average/counts"], values["average/inside"]
        total, count = values["average/window"].clone(), int(counts[1])
        if not values["average/threshold"][1]:
            total += values["average/segment"]
            count += int(counts[0])
            for place in range(len(inside)):
                if inside[place]:
                    total += values["average/held"][place]
                    count += int(counts[2 + place])
        return (total / count).to(values[WEIGHTS]) if count else values[WEIGHTS]

    def _leave_(self, values: Values, place: int) -> None:
        """Put a held segment into the window, where it belongs there."""
        counts = values["average/counts"]
        if values["average/inside"][place]:
            values["average/window"] += values["average/held"][place]
            counts[1] += counts[2 + place]
        values["average/inside"][place] = 0

    def _held(self) -> int:
        return max(self.whole("converged"), self.whole("overfit"))


def none() -> torch.Tensor:
    """Return a count of nothing yet.

    >>> int(none())
    0
    """
    return torch.zeros((), dtype=torch.int64)
