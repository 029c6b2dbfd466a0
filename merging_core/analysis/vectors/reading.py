"""Task vectors read leaf by leaf, from what the live engine holds where it fits there, else from the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from merging_core.checkpoints.reader import Checkpoint
from merging_core.engines.live import LiveEngine
from merging_core.engines.samples import Sample
from merging_core.errors import BasinError
from merging_core.recipes.recipe import Recipe
from merging_core.space.naming import named_like
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf, build_space

__all__ = ["TaskVectors", "task_vectors_of"]

_Source = torch.Tensor | Checkpoint
"""A model's flat weights, or where they are read from."""


@dataclass(frozen=True, eq=False)
class TaskVectors:
    """The task vectors τₜ = θₜ − θ₀ of T models in one space; each difference is rounded to float32 once."""

    space: ParameterSpace
    held: bool
    """Whether all weights are in memory."""
    _base: _Source
    _models: tuple[_Source, ...]

    def __len__(self) -> int:
        """Return T."""
        return len(self._models)

    def piece(self, leaf: SpaceLeaf, start: int, stop: int) -> torch.Tensor:
        """Return the elements `start ≤ i < stop` of a leaf: [1 + T, n] float32, θ₀ and then each τₜ, on the CPU.

        Raises as reading does.
        """
        out = torch.empty(1 + len(self._models), stop - start)
        out[0] = _read(self._base, leaf, start, stop)
        for row, model in zip(out[1:], self._models, strict=True):
            row.copy_(_read(model, leaf, start, stop)).sub_(out[0])
        return out

    def one(self, leaf: SpaceLeaf, model: int) -> torch.Tensor:
        """Return one task vector of a whole leaf, in its shape; raises as reading does."""
        own = torch.empty(leaf.elements).copy_(_read(self._models[model], leaf, 0, leaf.elements))
        return own.sub_(_read(self._base, leaf, 0, leaf.elements).float()).view(leaf.shape)

    def sampled(self, sample: Sample) -> torch.Tensor:
        """Return what a sample takes of θ₀ and of each τₜ: [1 + T, n] float32; raises as reading does."""
        leaves = {leaf.name: leaf for leaf in self.space.leaves}
        return torch.cat([self.piece(leaves[cut.name], *span) for cut in sample.cuts for span in cut.spans], dim=1)


def task_vectors_of(engine: LiveEngine, models: Sequence[str | Recipe], base: str) -> TaskVectors:
    """Return the task vectors of checkpoints and merges; only headers are read of what does not fit in memory.

    Raises SpaceError where they share no space, and as opening and merging do.
    """
    origin, opened, merged = engine.opened(base), list[Checkpoint](), dict[int, torch.Tensor]()
    for place, model in enumerate(models):
        if isinstance(model, str):
            opened.append(engine.opened(model, base))
            continue
        try:
            flat, surveyed = engine.end(model)
        except BasinError as error:
            raise error.located(f"models[{place}]") from error
        merged[place] = flat
        opened.append(surveyed.reference)
    space = build_space(origin, opened)
    held = 4 * space.size * (1 + len(models)) <= engine.memory_budget // 2
    sources = [
        merged[place]
        if place in merged
        else engine.end(str(model), base)[0]
        if held
        else named_like(origin, opened[place])
        for place, model in enumerate(models)
    ]
    return TaskVectors(space, held, engine.end(base)[0] if held else origin, tuple(sources))


def _read(source: _Source, leaf: SpaceLeaf, start: int, stop: int) -> torch.Tensor:
    if isinstance(source, torch.Tensor):
        return source[leaf.start + start : leaf.start + stop].cpu()
    return source.read_range(leaf.name, start, stop)
