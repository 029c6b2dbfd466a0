"""What a method of learning says about itself: what is learned, how it makes weights, and in which phases.

Of gradient steps the one loop (`descent`) does the rest: batches, gradients, optimisers, checks, events, state. Runs of
other kinds begin with `LearnMethod.run`. A method is a frozen `LearnMethod`; adding one touches its own file and the
registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from merging_core.learning.objectives import Objective
from merging_core.methods.info import Description, Parameters
from merging_core.space.parameter_space import ParameterSpace

if TYPE_CHECKING:
    from merging_core.learning.runs import Begin

__all__ = ["Draw", "Ground", "Learnable", "LearnMethod", "Optimiser", "Phase", "Shown", "Update", "Values"]

Values = dict[str, torch.Tensor]
"""What is learned, by name: float32 on the device."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What is resident while a method learns: shared, never written to.

    `base` θ₀ and each of `vectors` τ̂ₜ are flat, [N], in the space's order.
    """

    space: ParameterSpace
    base: torch.Tensor
    vectors: tuple[torch.Tensor, ...]
    params: Parameters
    """Of the method, complete and checked."""
    seed: int

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.base.device


@dataclass(frozen=True)
class Draw:
    """For which moment weights are made: chance is a function of (seed, step, update), so nothing must be stored.

    `settled`: as the finished recipe has them, rather than as a step of training draws them.
    """

    step: int
    update: int = 0
    phase: int = 0
    share: float = 0.0
    """How much of the phase is over, in [0, 1]."""
    settled: bool = False


@dataclass(frozen=True)
class Shown:
    """What of a method's values the page draws."""

    coefficients: tuple[tuple[float, ...], ...] = ()
    """For each expert one number, or one for each leaf in the space's order; nothing where none are learned."""
    density: tuple[float, ...] = ()
    """For each leaf the mean of its mask before rescaling, in the space's order; nothing where there is none."""


class Learnable(Protocol):
    """The values of one method on one ground, and what becomes of them."""

    def start(self) -> Values:
        """The values at step 0."""

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """The merged weights, leaf name → tensor of its shape, differentiable in the values."""

    def tensors(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """What a recipe holds of the values, by the names of `engines.learned`: `merged` when settled, as tensors."""

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """What the page draws."""

    def restart(self, values: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        """One of the values as it was at the start."""


@dataclass(frozen=True)
class Optimiser:
    """How a gradient becomes a step. `cosine`: the rate falls to 0 over the phase along half a cosine.

    `late`: it stays for half of the phase, falls along a line to a hundredth at nine tenths, and stays there.
    `warm_up`: over how many steps the rate rises first. `clip`: how long a gradient may be; a longer one is shortened.
    `momentum` is of `sgd`.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 0.0
    cosine: bool = False
    warm_up: int = 0
    clip: float | None = None
    momentum: float = 0.0
    late: bool = False

    def rate_at(self, share: float, step: int = 0) -> float:
        """Return the rate of a step of the phase, of which a share is over.

        >>> Optimiser(rate=2.0, cosine=True).rate_at(0.5, 50), Optimiser(rate=2.0, warm_up=4).rate_at(0.0, 0)
        (1.0, 0.5)
        >>> [round(Optimiser(rate=1.0, late=True).rate_at(share), 4) for share in (0.5, 0.7, 0.9, 1.0)]
        [1.0, 0.505, 0.01, 0.01]
        """
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        fall = 0.5 * (1.0 + math.cos(math.pi * share)) if self.cosine else 1.0
        if self.late:
            fall *= 1.0 - 0.99 * min(1.0, max(0.0, (share - 0.5) / 0.4))
        return self.rate * warm * fall


@dataclass(frozen=True)
class Update:
    """One gradient and one step of one value; a step of training is one update or several, each on a new batch."""

    value: str
    optimiser: Optimiser
    restart: bool = False
    """Whether the value begins where it began before its gradient is taken."""
    clamp: tuple[float, float] | None = None
    """Within which bounds the value is kept after each step."""
    together: tuple[Update, ...] = ()
    """Steps of other values along the same gradient, on the same batch."""


@dataclass(frozen=True)
class Phase:
    """Steps of one kind."""

    name: str
    title: str
    steps: int
    updates: tuple[Update, ...]
    restarts: tuple[str, ...] = ()
    """Values that begin the phase where they began."""


@dataclass(frozen=True, kw_only=True)
class LearnMethod(Description):
    """A method of learning. `phases(params, steps)` splits the steps that were asked for.

    Gradient steps have an `objective`, `make` and `phases`; a method of another kind has a `run` instead.
    """

    group: str
    makes: Literal["recipe", "expert"] = "recipe"
    """A recipe of base and models, or an expert: a checkpoint that starts from the base, which names no models."""
    objective: Objective | None = None
    """What is minimised; None where nothing is."""
    linearised: bool = False
    """Whether the model that learns, and is looked at, is the one linearised at the base (`evaluation.tangent`)."""
    splits: tuple[str, ...]
    """Where its examples may come from; the first is the default."""
    learns: tuple[Literal["coefficients", "mask", "weights"], ...] = ()
    default_lambda: float = 1.0
    """λ of the recipe that it makes; what is learned stands beside it."""
    default_steps: int
    batch: int = 16
    paired: bool = False
    """Whether each model is looked at on a task of its own: that at the same place among the tasks."""
    subset: Literal["preview", "full"] = "preview"
    """Which validation examples checks look at unless told otherwise."""
    make: Callable[[Ground], Learnable] | None = field(repr=False, default=None)
    phases: Callable[[Parameters, int], tuple[Phase, ...]] | None = field(repr=False, default=None)
    vectors: Callable[[Parameters], Mapping[str, object]] = field(repr=False, default=lambda params: {})
    """What of the recipe decides about the vectors: its method and mask; task arithmetic without a mask by default."""
    run: Begin | None = field(repr=False, default=None)
    """How a run begins; None for gradient steps on coefficients and masks (`session`)."""

    def as_json(self) -> dict[str, object]:
        """Return what a page needs to offer it."""
        return {
            **self.describe(),
            "group": self.group,
            "makes": self.makes,
            "objective": self.objective,
            "linearised": self.linearised,
            "splits": list(self.splits),
            "learns": list(self.learns),
            "lambda": self.default_lambda,
            "steps": self.default_steps,
            "batch": self.batch,
            "subset": self.subset,
        }
