"""The one loop: batches, gradients, steps, checks and events, for whatever is learned by gradient descent.

Events are asked for one by one, so whoever stops asking has paused the run, and `state` says at any time from where it
goes on. A step's weights are made leaf by leaf from what is resident; each task's gradient by the weights is found by
itself and added, and only then led back to what is learned, so that the activations of few tasks are held at a time.
What a run stands on and what becomes of it is up to its kind: `session` makes recipes.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

from merging_core.errors import PlanError, Problem
from merging_core.evaluation.evaluator import parts_of
from merging_core.evaluation.report import Report
from merging_core.learning.attack_settings import attacks_against
from merging_core.learning.batches import Gradient, TaskBatches
from merging_core.learning.contract import Draw, Ground, Phase, Shown, Update, Values
from merging_core.learning.events import Checked, Ended, Event, Progress
from merging_core.learning.heeding import heeded
from merging_core.learning.looks import Looks
from merging_core.learning.optimising import Optimisers
from merging_core.learning.robustness import Robust, robust_report
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import Best, State, check_state

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Heed

__all__ = ["Descent", "Standing"]

_SPLIT = "validation"
_EVERY_SECONDS = 0.25


@dataclass(frozen=True, eq=False)
class Standing:
    """What a run stands on, opened: what is resident, the configuration of its models, and their content digests."""

    ground: Ground
    config: Mapping[str, Any]
    models: tuple[str, ...]


class Descent(ABC):
    """One run of gradient steps on what is resident, with tasks that are loaded. `standing` is what it begins from.

    With `state` it goes on from where an earlier run stood. Raises EvaluationError where a task cannot be learned from,
    PlanError where the state is of another specification or of other models.
    """

    def __init__(self, spec: LearnSpec, bench: Bench, standing: Standing, state: State | None = None) -> None:
        make, phases = spec.info.make, spec.info.phases
        if make is None or phases is None or spec.info.objective is None:
            raise ValueError(f"{spec.method} is no method of gradient steps")
        self.spec, self.bench, self.standing = spec, bench, standing
        if state is not None:
            check_state(state, spec, standing.models)
        ground = standing.ground
        self._learnable = make(ground)
        self._phases = phases(spec.params, spec.steps)
        self._ends = list(accumulate(phase.steps for phase in self._phases))
        weights = ground.space.views(ground.base)
        self._batches = TaskBatches(
            standing.config,
            weights,
            spec.teachers(bench.tasks),
            spec.split,
            spec.info.objective,
            spec.batch,
            spec.seed,
            self._looks(),
            attacks_against(spec.params),
            weights if spec.info.linearised else None,
        )
        self._evaluator = bench.evaluator.linearised(weights) if spec.info.linearised else bench.evaluator
        self._step, self._draws = (state.step, state.draws) if state is not None else (0, 0)
        start = state.values if state is not None else self._learnable.start()
        updates = [update for phase in self._phases for update in phase.updates]
        learned = {one.value for update in updates for one in (update, *update.together)}
        self._values = {
            name: _placed(value, ground.device).clone().requires_grad_(name in learned) for name, value in start.items()
        }
        self._optimisers = Optimisers(state.moments if state is not None else {})
        self._best = state.best if state is not None else None
        self._since = state.since if state is not None else (0.0, 0)
        self._seconds = state.seconds if state is not None else 0.0
        self._losses: tuple[float, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.close()

    @property
    def steps(self) -> int:
        """All steps of all phases."""
        return sum(phase.steps for phase in self._phases)

    @property
    def state(self) -> State:
        """Where the run stands, between two events."""
        return State(
            self.spec,
            self.standing.models,
            self._step,
            self._draws,
            {name: value.detach().clone() for name, value in self._values.items()},
            {name: moment.detach().clone() for name, moment in self._optimisers.moments().items()},
            self._best,
            self._since,
            self._seconds,
        )

    def events(self, heed: Heed = lambda: "go") -> Iterator[Event]:
        """Run to the end, or until `heed` says stop; the last event says what became of it. Raises as evaluating does.

        A state that is taken between events is one between steps.
        """
        begun, earlier, first = time.perf_counter(), self._seconds, self._step
        told, stopped = 0.0, False
        if self._step == 0:
            yield self._progress(None)
            yield self._check()
        while self._step < self.steps:
            asked = time.perf_counter()
            wish = yield from heeded(heed, self._step)
            begun += time.perf_counter() - asked
            if wish == "stop":
                stopped = True
                break
            for _ in self._train():
                if time.perf_counter() - told > 2 * _EVERY_SECONDS:
                    told = time.perf_counter()
                    yield self._progress(self._left(begun, first))
            self._seconds = earlier + time.perf_counter() - begun
            if time.perf_counter() - told > _EVERY_SECONDS or self._step == self.steps:
                told = time.perf_counter()
                yield self._progress(self._left(begun, first))
            if self._step % self.spec.every == 0 or self._step == self.steps:
                checked = self._check()
                self._seconds = earlier + time.perf_counter() - begun
                yield checked
        yield self._finished(stopped)

    def weights(self, values: Values | None = None) -> dict[str, torch.Tensor]:
        """Return the merged weights as a recipe would have them, of the values now or of others."""
        with torch.no_grad():
            return self._learnable.merged(self._values if values is None else values, self._settled(self._step))

    def _train(self) -> Iterator[None]:
        """Do one step, yielding now and then."""
        phase, within = self._phase()
        share = within / max(1, phase.steps)
        if within == 0:
            for name in phase.restarts:
                self._restart(name)
        losses: tuple[float, ...] = ()
        for number, update in enumerate(phase.updates):
            if update.restart:
                self._restart(update.value)
            draw = Draw(self._step, number, self._phases.index(phase), share)
            gradient = None
            values = self._only(update)
            weights = self._learnable.merged(values, draw)
            penalty = self._penalty(values, draw)
            reached = [name for name, weight in weights.items() if weight.requires_grad]
            for found in self._batches.gradient(weights, self._draws, reached):
                gradient = found
                if found is None:
                    yield
            if gradient is None:
                raise ValueError("a step has a gradient")
            losses = gradient.losses
            self._move(f"{phase.name}/{number}", update, weights, gradient, penalty, share)
            self._draws += 1
        self._losses = losses
        self._since = (self._since[0] + math.fsum(losses), self._since[1] + 1)
        self._step += 1
        with torch.no_grad():
            self._stepped()

    def _looks(self) -> Looks | None:
        """Return in which looks examples are learned from; as they are."""
        return None

    def _stepped(self) -> None:  # noqa: B027
        """What follows each step; nothing."""

    def _only(self, update: Update) -> Values:
        """Return the values, of which only what an update changes is differentiated by."""
        changed = {update.value, *(other.value for other in update.together)}
        return {name: value if name in changed else value.detach() for name, value in self._values.items()}

    def _penalty(self, values: Values, draw: Draw) -> torch.Tensor | None:
        """Return what is added to the objective, a number that is differentiable in the values; nothing."""
        return None

    def _move(  # noqa: PLR0913
        self, key: str, update: Update, weights: Values, gradient: Gradient, penalty: torch.Tensor | None, share: float
    ) -> None:
        """Lead the gradient by the weights back to the values, and take the steps."""
        reached = [(weights[name], leaf) for name, leaf in gradient.leaves.items()]
        if penalty is not None:
            reached.append((penalty, torch.ones_like(penalty)))
        changed = (update, *update.together)
        founds = torch.autograd.grad(
            [weight for weight, _ in reached],
            [self._values[one.value] for one in changed],
            [leaf for _, leaf in reached],
        )
        if not all(bool(torch.isfinite(found).all()) for found in founds):
            must, fix = "the gradient is finite", "choose a smaller learning rate"
            raise PlanError(Problem(must, "one that is not", f"step {self._step + 1}", fix))
        step = self._phase()[1]
        for number, (one, found) in enumerate(zip(changed, founds, strict=True)):
            own = key if number == 0 else f"{key}.{number}"
            self._optimisers.step_(own, one, self._values[one.value], found, share, step)

    def _restart(self, name: str) -> None:
        with torch.no_grad():
            self._values[name].copy_(self._learnable.restart(self._values, name))

    def _phase(self) -> tuple[Phase, int]:
        """Return the phase of the next step, and how many of its steps are done; at the end the last."""
        done = self._step
        for phase in self._phases[:-1]:
            if done < phase.steps:
                return phase, done
            done -= phase.steps
        return self._phases[-1], done

    def _settled(self, step: int) -> Draw:
        """Return the moment after so many steps, which belongs to the phase of the last of them."""
        done = max(0, step - 1)
        place = next(
            (place for place in range(len(self._phases)) if done < self._ends[place]), len(self._phases) - 1
        )  # fmt: skip
        phase = self._phases[place]
        within = step - (self._ends[place] - phase.steps)
        return Draw(step, 0, place, within / max(1, phase.steps), settled=True)

    def _progress(self, left: float | None) -> Progress:
        with torch.no_grad():
            shown: Shown = self._learnable.shown(self._values, self._settled(self._step))
        total = math.fsum(self._losses) if self._losses else None
        return Progress(self._step, self.steps, self._phase()[0].title, total, self._losses, shown, left)

    def _left(self, begun: float, first: int) -> float | None:
        done = self._step - first
        return (time.perf_counter() - begun) / done * (self.steps - self._step) if done else None

    def _check(self) -> Checked:
        report = self._report(self.weights(), self.spec.subset)
        score = self._score(report)
        best = self._best is None or score >= self._best.score
        if best:
            self._best = Best(self._step, self._draws, score, self._keeping())
        self._since = (0.0, 0)
        return Checked(self._step, report, best)

    def _keeping(self) -> Values:
        """Return a copy of what `_kept` needs of the values as they are."""
        return {name: value.detach().clone() for name, value in self._values.items()}

    def _score(self, report: Report) -> float:
        """Return what a check is judged by, more being better."""
        if self.spec.keep == "accuracy":
            return report.average
        if self.spec.keep == "loss":
            return -report.loss
        if self.spec.keep == "objective":
            return -self._since[0] / self._since[1] if self._since[1] else -math.inf
        return float(self._step)

    def _report(self, weights: Mapping[str, torch.Tensor], subset: Literal["preview", "full"]) -> Report:
        return self._evaluator.evaluate(
            self.standing.config, weights, self.bench.tasks, _SPLIT, subset, transductive=self.spec.transductive
        )

    def _attacked(self, before: Values, after: Values) -> tuple[tuple[Robust, Robust], ...]:
        """Return how start and end do on all of validation under each attack that was defended against."""
        parts = parts_of(self.bench.tasks, _SPLIT, "full")
        attacks = [attack for attack in attacks_against(self.spec.params) if attack is not None]
        ends = [
            [robust_report(self.standing.config, one, parts, attack) for one in (before, after)] for attack in attacks
        ]
        return tuple((start, end) for start, end in ends)

    def _kept(self) -> tuple[int, Values]:
        """Return what the run keeps, and after how many steps it was so."""
        if self.spec.keep == "last" or self._best is None:
            return self._step, self._keeping()
        return self._best.step, self._best.values

    @abstractmethod
    def _finished(self, stopped: bool) -> Ended:
        """Put what was learned where it belongs, and measure start and end on all of validation."""


def _placed(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a value on the device; what it has no numbers for stays on the CPU."""
    return value if device.type == "mps" and value.dtype == torch.float64 else value.to(device)
