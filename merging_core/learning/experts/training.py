"""A run that makes an expert: the base's weights by gradient steps, and a checkpoint folder at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from merging_core.checkpoints import write_checkpoint
from merging_core.checkpoints.companions import companions_of
from merging_core.checkpoints.dtypes import torch_dtype
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import PlanError, Problem
from merging_core.learning.contract import Draw, Ground, Values
from merging_core.learning.descent import Descent, Standing
from merging_core.learning.events import Checked, Trained
from merging_core.learning.experts.card import expert_card
from merging_core.learning.experts.trajectories import held_vectors
from merging_core.learning.experts.weights import MovedWeights
from merging_core.learning.looks import Looks
from merging_core.learning.session import check_memory
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State
from merging_core.space.parameter_space import build_space

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench

__all__ = ["Training"]

_EXPERT = "expert"
_VECTORS = 9
"""Held beside an average: the base, the weights, two gradients, two moments, the best, and what is written twice."""
_MASK = 11
"""Held for a mask that is learned, too: logits, their moments and gradients, a draw in float64, the fixed mask."""


class Training(Descent):
    """One run of training from a base; the bench says into which folder the expert goes.

    Raises as reading does, EvaluationError where a task cannot be learned from, PlanError where nothing moves, the
    folder is taken, the state is of another run, or the run does not fit the memory of its device.
    """

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        self._base = bench.engine.opened(spec.base)
        space, device = build_space(None, [self._base]), bench.engine.device
        self._folder = _free(bench.expert)
        more = spec.info.linearised + held_vectors(spec.params) + (_MASK if "mask" in spec.info.learns else 0)
        check_memory(round(4 * space.size * (_VECTORS + more)), device)
        ground = Ground(space, space.flat(self._base, device), (), spec.params, spec.seed)
        super().__init__(spec, bench, Standing(ground, self._base.config, (self._base.content(),)), state)

    @property
    def moved(self) -> MovedWeights:
        """What is trained."""
        if not isinstance(self._learnable, MovedWeights):
            raise TypeError(f"{self.spec.method} trains weights")
        return self._learnable

    def _penalty(self, values: Values, draw: Draw) -> torch.Tensor | None:
        return self.moved.penalty(values, draw)

    def _looks(self) -> Looks | None:
        return Looks(self.spec.seed) if self.spec.params.get("looks") == "light" else None

    def _stepped(self) -> None:
        self.moved.stepped_(self._values, self._step, self.steps)

    def _check(self) -> Checked:
        if self._step and self.moved.average.hears:
            with torch.no_grad():
                plain = self.moved.placed(self.moved.plain(self._values))
                self.moved.average.heard_(self._values, self._report(plain, self.spec.subset).loss)
        return super()._check()

    def _keeping(self) -> Values:
        with torch.no_grad():
            return {_EXPERT: self.moved.expert(self._values).detach().clone()}

    def _finished(self, stopped: bool) -> Trained:
        step, kept = self._kept()
        weights = self._stored(self.moved.placed(kept[_EXPERT]))
        after = self._report(weights, "full")
        start = self._stored({})
        before = self._report(start, "full")
        plain = None
        if self.spec.params.get("average", "none") != "none":
            plain = self._report(self._stored(self.moved.placed(self.moved.plain(self._values).detach())), "full")
        ended = Trained(
            step=self._step,
            kept_step=step,
            before=before,
            after=after,
            plain=plain,
            split=self.spec.split,
            transductive=self.spec.transductive,
            seen=self.spec.seen,
            chosen_by=self._chosen_by(),
            stopped=stopped,
            seconds=self._seconds,
            robust=self._attacked(start, weights),
            folder=self._folder,
        )
        return self._written(weights, ended)

    def _chosen_by(self) -> str:
        if self.moved.average.hears and not self.spec.chosen_by:
            return "the preview of validation" if self.spec.subset == "preview" else "validation"
        return self.spec.chosen_by

    def _stored(self, moved: Mapping[str, torch.Tensor]) -> Values:
        """Return all leaves as the checkpoint has them, in the base's dtypes: the base's, where none are given."""
        found = {}
        for name, leaf in self._base.leaves.items():
            given = moved.get(name)
            found[name] = self._base.read(name) if given is None else given.detach().cpu().to(torch_dtype(leaf.dtype))
        return found

    def _written(self, weights: Mapping[str, torch.Tensor], ended: Trained) -> Trained:
        specs = [LeafSpec(name, leaf.dtype, leaf.shape) for name, leaf in self._base.leaves.items()]
        changed = sum(int((leaf != self._base.read(name)).sum()) for name, leaf in weights.items())
        card = expert_card(self.spec, self._base, self.bench.tasks, ended, changed)
        extra: dict[str, str | bytes] = {**companions_of(self._base), "README.md": card}
        folder = write_checkpoint(self._folder, weights.items(), specs, self._base.config, extra=extra)
        return replace(ended, folder=folder, digest=open_checkpoint(folder, Ref("file", folder.name)).content())


def _free(folder: Path | None) -> Path:
    if folder is None:
        raise ValueError("whoever trains an expert names its folder")
    if folder.exists():
        must, fix = "the expert's folder is not there yet", "name another folder, or move it away"
        raise PlanError(Problem(must, "one that is", folder.name, fix))
    return folder
