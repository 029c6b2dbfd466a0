"""Runs that try one soup after the other on examples that choose, and show the chosen one on others.

    split: validation   the first half of each task's stratified order chooses, the rest is shown
    split: train        examples of the train split choose, all of validation is shown

`batch` is the number of examples of each task that choose, `steps` how many soups or models are tried, at most. What
is merged is merged as its recipe will be, so the numbers are those of the recipe.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import torch

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part, halves, parts_of
from merging_core.evaluation.report import Report, make_report
from merging_core.evaluation.tasks import AnyTask
from merging_core.learning.contract import Shown, Values
from merging_core.learning.events import Event, Finished, Progress
from merging_core.learning.heeding import heeded
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State, check_state
from merging_core.recipes import Recipe, parse_recipe

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Heed

__all__ = ["Choosing", "chosen_by", "choosing_parts", "soup_recipe"]


_EVERY_SECONDS = 0.25


class Choosing(ABC):
    """One run that chooses among soups of a bench's models; with `state` it goes on from where an earlier one stood.

    Raises as planning and reading do, EvaluationError where a task has too few examples or cannot be scored, PlanError
    where the state is of another specification or of other models.
    """

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        self.spec, self.bench = spec, bench
        plan = bench.engine.plan(spec.recipe())
        self._models = tuple(checkpoint.content() for checkpoint in plan.survey.checkpoints)
        self._config = plan.survey.reference.config
        if state is not None:
            check_state(state, spec, self._models)
        self._chosen_by, self._shown = choosing_parts(bench.tasks, spec.split, spec.batch)
        self._step = state.step if state is not None else 0
        self._seconds = state.seconds if state is not None else 0.0
        self._values: Values = dict(state.values) if state is not None else self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hold nothing that must be let go of."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many models and soups are measured."""

    @property
    def state(self) -> State:
        """Where the run stands, between two events."""
        values = {name: value.clone() for name, value in self._values.items()}
        return State(self.spec, self._models, self._step, 0, values, seconds=self._seconds)

    def events(self, heed: Heed = lambda: "go") -> Iterator[Event]:
        """Try all, or until `heed` says stop; the last event says what became of it. Raises as evaluating does."""
        begun, earlier, first = time.perf_counter(), self._seconds, self._step
        told, stopped = begun, False
        left: float | None = None
        yield self._progress(None)
        while self._step < self.steps and not stopped:
            waiting = time.perf_counter()
            stopped = (yield from heeded(heed, self._step)) == "stop"
            begun += time.perf_counter() - waiting
            if stopped:
                break
            found: list[Event] = []
            for event in self._tried():
                if event is not None:
                    found.append(event)
                elif time.perf_counter() - told > _EVERY_SECONDS:
                    told = time.perf_counter()
                    yield self._progress(left)
            self._step += 1
            self._seconds = earlier + time.perf_counter() - begun
            left = (time.perf_counter() - begun) / (self._step - first) * (self.steps - self._step)
            told = time.perf_counter()
            yield self._progress(left)
            yield from found
        yield self._finished(stopped)

    @abstractmethod
    def _begin(self) -> Values:
        """Return what is known before the first step."""

    @abstractmethod
    def _tried(self) -> Iterator[Event | None]:
        """Measure the next model or soup, with None now and then, note what came of it in the values, and say so."""

    @abstractmethod
    def _finished(self, stopped: bool) -> Finished:
        """Return what became of it."""

    @abstractmethod
    def _shares(self) -> tuple[float, ...]:
        """Return the weight of each model in the best soup so far."""

    @abstractmethod
    def _phase(self) -> str:
        """Return what is being done, as a title."""

    def _progress(self, left: float | None) -> Progress:
        shown = Shown(tuple((share,) for share in self._shares()))
        return Progress(self._step, self.steps, self._phase(), None, (), shown, left)

    def _soup(self, shares: Sequence[float]) -> tuple[Recipe, Weights, str]:
        """Merge a soup; return its recipe, its weights and its hash."""
        recipe = soup_recipe(self.spec, shares)
        merged = self.bench.engine.merge(recipe)
        return recipe, merged.weights, merged.hash

    def _report(self, weights: Weights, parts: Sequence[Part]) -> Report:
        return make_report(self.bench.evaluator.scores(self._config, weights, parts), "full")


def soup_recipe(spec: LearnSpec, shares: Sequence[float]) -> Recipe:
    """Return the recipe of a soup: a uniform soup where all that are in it count the same, else a weighted average.

    >>> from merging_core.learning.spec import parse_spec
    >>> spec = parse_spec({"version": 1, "method": {"name": "greedy_soup"}, "base": "zoo:tiny/base",
    ...                    "models": ["zoo:tiny/digits", "zoo:tiny/greek", "zoo:tiny/shapes"]})
    >>> soup_recipe(spec, (0.5, 0.0, 0.5)).method.name, len(soup_recipe(spec, (0.5, 0.0, 0.5)).models)
    ('uniform_soup', 2)
    >>> [entry.weight for entry in soup_recipe(spec, (0.25, 0.0, 0.75)).models]
    [0.25, 0.75]
    """
    kept = [(ref, share) for ref, share in zip(spec.models, shares, strict=True) if share != 0.0]
    alike = len({share for _, share in kept}) == 1
    models = [{"ref": ref, **({} if alike else {"weight": share})} for ref, share in kept]
    name = "uniform_soup" if alike else "linear"
    return parse_recipe({"version": 1, "base": spec.base, "models": models, "method": {"name": name}})


def choosing_parts(tasks: Sequence[AnyTask], split: str, most: int) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return the examples that choose, at most so many of each task, and those that are shown; none is in both.

    Raises EvaluationError where a task has too few.
    """
    whole = parts_of(tasks, "validation", "full")
    if split == "validation":
        first, shown = halves(whole)
    else:
        first, shown = parts_of(tasks, split, "full"), whole
    empty = [part.task.name for part in (*first, *shown) if part.stop <= part.start]
    if empty:
        must, fix = "a task has an example to choose by and another to show", "leave the task out"
        raise EvaluationError(*(Problem(must, "too few", name, fix) for name in dict.fromkeys(empty)))
    return tuple(replace(part, stop=min(part.stop, part.start + most)) for part in first), shown


def chosen_by(split: str, parts: Sequence[Part]) -> str:
    """Say which examples chose."""
    n = sum(part.stop - part.start for part in parts)
    return f"{n:,} examples of {'the first half of validation' if split == 'validation' else f'the {split} split'}"


def as_flags(values: Sequence[bool]) -> torch.Tensor:
    """Return switches as a state holds them.

    >>> as_flags([True, False]).tolist()
    [1, 0]
    """
    return torch.tensor(list(values), dtype=torch.uint8)
