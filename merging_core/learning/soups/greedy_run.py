"""The greedy soup: models are taken one after the other, and stay where the average does not become worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from merging_core.evaluation.report import Report, compare
from merging_core.learning.contract import Values
from merging_core.learning.events import Event, Finished, Tried
from merging_core.learning.soups.choosing import Choosing, as_flags, chosen_by
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench

__all__ = ["GreedyRun"]


class GreedyRun(Choosing):
    """Measures each model alone where their order asks for it, then tries one after the other, each once."""

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        self._soup_report: Report | None = None
        super().__init__(spec, bench, state)

    @property
    def steps(self) -> int:
        """How many models are measured alone, and how many are tried."""
        return self._alone + min(len(self.spec.models), self.spec.steps)

    @property
    def _alone(self) -> int:
        return len(self.spec.models) if self.spec.params["order"] == "accuracy" else 0

    def _begin(self) -> Values:
        count = len(self.spec.models)
        alone = torch.full((count,), torch.nan, dtype=torch.float64)
        return {"alone": alone, "accepted": as_flags([False] * count), "kept": torch.zeros(1, dtype=torch.int64)}

    def _tried(self) -> Iterator[Event | None]:
        if self._step < self._alone:
            weights = self.bench.engine.checkpoint(self.spec.models[self._step], self.spec.base)
            self._values["alone"][self._step] = self._report(weights, self._chosen_by).average
            return
        place = self._order()[self._step - self._alone]
        before, shares = self._current(), self._shares_with(place)
        report = self._report(self._soup(shares)[1], self._chosen_by)
        accepted = before is None or self._better(report.average, before.average)
        if accepted:
            self._values["accepted"][place] = 1
            self._values["kept"][0] = self._step + 1
            self._soup_report = report
        difference = None if before is None else compare(report, before).average
        yield Tried(self._step + 1, report, accepted, self.spec.models[place], shares, difference)

    def _better(self, value: float, than: float) -> bool:
        return value > than if self.spec.params["accept"] == "better" else value >= than

    def _order(self) -> list[int]:
        """Return the models in the order in which they are tried; of those that do alike the one listed first."""
        places = range(len(self.spec.models))
        if self.spec.params["order"] == "given":
            return list(places)
        alone = self._values["alone"].nan_to_num(nan=-1.0).tolist()
        return sorted(places, key=lambda place: -alone[place])

    def _taken(self) -> list[int]:
        """Return the models in the soup; where none was tried yet, the best that is known."""
        accepted = self._values["accepted"].tolist()
        return [place for place, taken in enumerate(accepted) if taken] or [self._order()[0]]

    def _shares(self) -> tuple[float, ...]:
        return self._equal(self._taken())

    def _shares_with(self, place: int) -> tuple[float, ...]:
        return self._equal([*self._taken(), place] if self._values["accepted"].any() else [place])

    def _equal(self, places: Sequence[int]) -> tuple[float, ...]:
        return tuple(1.0 / len(places) if at in places else 0.0 for at in range(len(self.spec.models)))

    def _current(self) -> Report | None:
        """Return how the soup as it is does on the examples that choose; None while it is empty."""
        if self._soup_report is None and bool(self._values["accepted"].any()):
            self._soup_report = self._report(self._soup(self._shares())[1], self._chosen_by)
        return self._soup_report

    def _phase(self) -> str:
        return "Each model alone" if self._step < self._alone else "Soup"

    def _finished(self, stopped: bool) -> Finished:
        recipe, weights, identity = self._soup(self._shares())
        first = self.bench.engine.checkpoint(self.spec.models[self._order()[0]], self.spec.base)
        return Finished(
            step=self._step,
            kept_step=int(self._values["kept"][0]),
            recipe=recipe,
            hash=identity,
            before=self._report(first, self._shown),
            after=self._report(weights, self._shown),
            split=self.spec.split,
            transductive=False,
            seen=False,
            chosen_by=chosen_by(self.spec.split, self._chosen_by),
            held_out=True,
            stopped=stopped,
            seconds=self._seconds,
        )
