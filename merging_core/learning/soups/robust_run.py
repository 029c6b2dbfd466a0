"""The robust soup: all weightings on a grid are measured on a few examples, as they are or under attack."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import torch

from merging_core.errors import EvaluationError, PlanError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.intervals import Estimate
from merging_core.evaluation.report import Report, compare
from merging_core.learning.attack_settings import attack_of, attacks_against
from merging_core.learning.attacks import Attack
from merging_core.learning.contract import Values
from merging_core.learning.events import Event, Finished, Tried
from merging_core.learning.robustness import Robust, attack_problems, robust_report, robust_steps
from merging_core.learning.soups.choosing import Choosing, chosen_by
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench

__all__ = ["RobustRun", "weightings"]

_MOST = 100_000


class RobustRun(Choosing):
    """Measures one weighting after the other, and keeps the best; of those that do alike the first.

    The last event has both attacks, whichever were chosen by, on the examples that are shown.
    """

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        problems = attack_problems(bench.tasks)
        if problems:
            raise EvaluationError(*problems)
        self._weightings = weightings(len(spec.models), int(spec.params.number("parts")), spec.steps, spec.seed)
        self._against = attacks_against(spec.params)
        self._kept: tuple[Report, tuple[Robust, ...]] | None = None
        super().__init__(spec, bench, state)

    @property
    def steps(self) -> int:
        """How many weightings are measured."""
        return len(self._weightings)

    def _begin(self) -> Values:
        return {"best": torch.full((1,), -1, dtype=torch.int64), "score": torch.zeros(1, dtype=torch.float64)}

    def _tried(self) -> Iterator[Event | None]:
        shares, best = self._weightings[self._step], self._best()
        weights = self._soup(shares)[1]
        robust: list[Robust] = []
        for attack in self._attacks():
            for measured in robust_steps(self._config, weights, self._chosen_by, attack):
                if measured is not None:
                    robust.append(measured)
                yield None
        found = self._report(weights, self._chosen_by), tuple(robust)
        score = self._score(*found)
        better = best is None or score > float(self._values["score"])
        difference = None if best is None else self._difference(found, best)
        if better:
            self._values["best"][0], self._values["score"][0] = self._step, score
            self._kept = found
        words = " + ".join(f"{share:.4g} {ref}" for ref, share in zip(self.spec.models, shares, strict=True) if share)
        yield Tried(self._step + 1, found[0], better, words, shares, difference, found[1])

    def _measured(
        self, weights: Weights, parts: Sequence[Part], attacks: Sequence[Attack]
    ) -> tuple[Report, tuple[Robust, ...]]:
        robust = tuple(robust_report(self._config, weights, parts, attack) for attack in attacks)
        return self._report(weights, parts), robust

    def _attacks(self) -> tuple[Attack, ...]:
        return tuple(attack for attack in self._against if attack is not None)

    def _score(self, clean: Report, robust: Sequence[Robust]) -> float:
        """Return the mean of what is chosen by."""
        found = [one.report.average for one in robust]
        return math.fsum([clean.average, *found] if None in self._against else found) / len(self._against)

    def _best(self) -> tuple[Report, tuple[Robust, ...]] | None:
        """Return how the best so far does on the examples that choose; None at the beginning."""
        best = int(self._values["best"])
        if self._kept is None and best >= 0:
            weights = self._soup(self._weightings[best])[1]
            self._kept = self._measured(weights, self._chosen_by, self._attacks())
        return self._kept

    def _difference(
        self, found: tuple[Report, tuple[Robust, ...]], best: tuple[Report, tuple[Robust, ...]]
    ) -> Estimate | None:
        """Return the paired difference in what is chosen by; None for a mixture, whose parts share their examples."""
        if len(self._against) > 1:
            return None
        if found[1]:
            return compare(found[1][0].report, best[1][0].report).average
        return compare(found[0], best[0]).average

    def _shares(self) -> tuple[float, ...]:
        return self._weightings[max(0, int(self._values["best"]))]

    def _phase(self) -> str:
        return "Weights"

    def _finished(self, stopped: bool) -> Finished:
        recipe, weights, identity = self._soup(self._shares())
        both = (attack_of(self.spec.params, "linf"), attack_of(self.spec.params, "l2"))
        plain = self._soup(self._weightings[0])[1]
        before, attacked_before = self._measured(plain, self._shown, both)
        after, attacked_after = self._measured(weights, self._shown, both)
        return Finished(
            step=self._step,
            kept_step=int(self._values["best"]) + 1,
            recipe=recipe,
            hash=identity,
            before=before,
            after=after,
            split=self.spec.split,
            transductive=False,
            seen=False,
            chosen_by=chosen_by(self.spec.split, self._chosen_by),
            held_out=True,
            stopped=stopped,
            seconds=self._seconds,
            robust=tuple(zip(attacked_before, attacked_after, strict=True)),
        )


def weightings(models: int, parts: int, most: int, seed: int) -> tuple[tuple[float, ...], ...]:
    """Return the plain average, each model alone, and then the other weightings of a grid, at most so many.

    Where there are more, those of the rest are drawn by the seed. Raises PlanError where the grid is too fine.

    >>> weightings(2, 4, 64, 0)
    ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.25, 0.75), (0.75, 0.25))
    >>> len(weightings(3, 4, 64, 0)), len(weightings(6, 4, 20, 0))
    (16, 20)
    """
    whole = math.comb(models + parts - 1, parts)
    if whole > _MOST:
        must, fix = f"a grid of weights has at most {_MOST:,} points", "use fewer parts, or fewer models"
        raise PlanError(Problem(must, f"{whole:,}", "method.params.parts", fix))
    corners = [tuple(float(at == place) for at in range(models)) for place in range(models)]
    first = list(dict.fromkeys([(1.0 / models,) * models, *corners]))[:most]
    rest = [shares for shares in _grid(models, parts) if shares not in first]
    if len(first) + len(rest) > most:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randperm(len(rest), generator=generator)[: most - len(first)]
        rest = [rest[place] for place in sorted(drawn.tolist())]
    return (*first, *rest)


def _grid(models: int, parts: int) -> Iterator[tuple[float, ...]]:
    """Yield all ways to give so many parts to the models: bars between stars."""
    for bars in combinations(range(parts + models - 1), models - 1):
        ends = (-1, *bars, parts + models - 1)
        yield tuple((ends[at + 1] - ends[at] - 1) / parts for at in range(models))
