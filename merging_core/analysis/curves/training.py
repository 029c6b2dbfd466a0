"""The training of a curve: its bends by gradient steps, each on one batch of the train split at one point of the curve.

    minimise over the bends  E over t of [ L(θ(t)) + ½·decay·‖θ(t)‖² ],  t uniform on (0, 1)

The gradient by bend i is cᵢ(t) times that by θ(t). Batches and t are functions of seed and step, so whoever goes on
from what the memory holds comes to the bits of one who never stopped, on a CPU.

Source: Garipov et al. 2018, arXiv:1802.10026, section 3, and its code (`curves.py`, `train.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import numpy
import torch

from merging_core.analysis.curves.curve import Curve
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.engines.points import Points
from merging_core.errors import PlanError, Problem
from merging_core.learning.attacks import Attack
from merging_core.learning.batches import Gradient, TaskBatches
from merging_core.learning.contract import Optimiser, Update
from merging_core.learning.optimising import Optimisers
from merging_core.learning.relaxation import uniform

__all__ = ["Course", "CurveTraining", "trained_of"]

_KEY = "training"
_BENDS = "bends"
_MOMENT = f"{_BENDS}/momentum_buffer"
MOMENTUM = 0.9


@dataclass(frozen=True)
class Course:
    """How a curve is trained. `attacks`: by what examples are changed on the way, each alike; None changes nothing."""

    steps: int
    batch: int
    rate: float
    decay: float
    seed: int
    attacks: tuple[Attack | None, ...] = (None,)


class CurveTraining:
    """A curve while it is trained: a context, which lets go of its threads at the end.

    It begins at `curve`, or where an earlier part of it stood, which the memory knows.
    Raises EvaluationError with every task that cannot be learned from.
    """

    def __init__(self, curve: Curve, course: Course, bench: StudyBench, memory: Memory) -> None:
        self.course, self._start, self._bench, self._memory = course, curve, bench, memory
        config, weights = curve.points.config, curve.weights(0.0)
        self._batches = TaskBatches(
            config, weights, bench.tasks, "train", "cross_entropy", course.batch, course.seed, None, course.attacks
        )
        found = memory.get(_KEY)
        moments: dict[str, torch.Tensor] = {}
        if found is None:
            self._bends, self.step, self.losses = torch.stack(curve.bends), 0, []
        else:
            device = curve.points.flats[0].device
            self._bends = torch.tensor(found["bends"], device=device)
            moments = {_MOMENT: torch.tensor(found["momentum"])} if "momentum" in found else {}
            self.step, self.losses = int(found["step"]), [float(loss) for loss in found["losses"]]
        self._optimisers = Optimisers(moments)
        how = Optimiser("sgd", course.rate, momentum=MOMENTUM, late=True)
        self._update = Update(_BENDS, how)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.close()

    @property
    def curve(self) -> Curve:
        """The curve as it is now, which later steps do not change."""
        return _bent(self._start, self._bends.clone())

    def go(self) -> Iterator[None]:
        """Do one step, yielding now and then; raises PlanError where the gradient is not finite, and as `heed` does."""
        t = float(uniform(self.course.seed, self.step, "curve", 1))
        now = _bent(self._start, self._bends)
        flat = now.flat(t)
        gradient = None
        space = now.points.space
        for found in self._batches.gradient(now.points.weights(flat), self.step, [leaf.name for leaf in space.leaves]):
            self._bench.heed()
            gradient = found
            if found is None:
                yield
        if gradient is None:
            raise ValueError("a step has a gradient")
        shared = 1.0 / len(gradient.losses)
        slope = _flat(gradient, now.points).mul_(shared).add_(flat, alpha=self.course.decay)
        if not bool(torch.isfinite(slope).all()):
            must, fix = "the gradient is finite", "choose a smaller learning rate"
            raise PlanError(Problem(must, "one that is not", f"step {self.step + 1}", fix))
        shares = now.shares(t)[1:-1]
        by_bends = torch.stack([slope * share for share in shares])
        over = self.step / self.course.steps
        self._optimisers.step_(_BENDS, self._update, self._bends, by_bends, over, self.step)
        self.losses.append(math.fsum(gradient.losses) * shared)
        self.step += 1

    def keep(self) -> None:
        """Put where it stands into the memory."""
        arrays: dict[str, Any] = {
            "bends": self._bends.detach().cpu().numpy().copy(),
            "step": numpy.array(self.step),
            "losses": numpy.array(self.losses, dtype=numpy.float64),
        }
        moments: Mapping[str, torch.Tensor] = self._optimisers.moments()
        if _MOMENT in moments:
            arrays["momentum"] = moments[_MOMENT].detach().cpu().numpy().copy()
        self._memory.put(_KEY, **arrays)


def trained_of(curve: Curve, memory: Memory) -> tuple[Curve, int, tuple[float, ...]]:
    """Return the curve that a memory holds, after how many steps, and the loss of each; without, the one given."""
    found = memory.get(_KEY)
    if found is None:
        return curve, 0, ()
    bends = torch.tensor(found["bends"], device=curve.points.flats[0].device)
    return _bent(curve, bends), int(found["step"]), tuple(float(loss) for loss in found["losses"])


def _bent(curve: Curve, bends: torch.Tensor) -> Curve:
    first, *_, last = curve.points.flats
    return replace(curve, points=replace(curve.points, flats=(first, *bends.unbind(), last)))


def _flat(gradient: Gradient, points: Points) -> torch.Tensor:
    """Return the gradient by the whole vector, [N]; a leaf that the tasks do not reach has none."""
    found = torch.zeros_like(points.flats[0])
    for leaf in points.space.leaves:
        if leaf.name in gradient.leaves:
            found[leaf.start : leaf.stop] = gradient.leaves[leaf.name].reshape(-1)
    return found
