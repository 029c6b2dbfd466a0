"""What a method does, in one picture: a sample of the visitor's own numbers, averaged plainly and merged by it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch

from app.families import Family
from app.picker.words import sentences, words_of
from app.state import StudioState
from app.studio.here import check_here
from app.studio.memo import Memo
from app.studio.workbench import Models, Numbers
from merging_core.engines.samples import Looked, Sample, SampledMerges, one_matrix, scattered
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import method
from merging_core.recipes import Recipe
from merging_core.recipes.resolving import references
from merging_core.space.parameter_space import ParameterSpace

__all__ = ["DOTS", "MethodPictures"]

DOTS = 720
"""Numbers of a sample that are drawn."""
_KEPT = 256
_MOSTLY = 0.75
"""From this share on, by size, one direction has most of what the experts would add."""
_SPECTRUM = "subspace"
"""The group whose methods work on singular values."""


class MethodPictures:
    """Looks at methods; safe to use from several threads. What was looked at is kept by the models' content."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._merges = SampledMerges()
        self._known: Memo[Numbers] = Memo(_KEPT)

    def look(self, state: StudioState, family: Family) -> Numbers:
        """Return what the state's method does to a sample of its models (see docs/architecture.md).

        Learned tensors are of whole models: the picture is without them.
        Raises: as opening, planning and merging do.
        """
        recipe, engine = replace(state.recipe, tensors=None), self._models.engine
        refs = [str(ref) for ref in references(recipe)]
        check_here(refs, engine.opened)
        info, space = method(recipe.method.name), engine.plan(recipe).space
        key = (str(recipe.as_json()), *(engine.opened(ref, recipe.base).content() for ref in refs))
        looked = self._known.get(key, lambda: self._looked(recipe, info, space))
        experts = [family.title_of(entry.ref) for entry in recipe.models]
        found = {
            "method": info.name,
            "title": info.title,
            "base": recipe.base is not None,
            "experts": experts,
            **looked,
        }
        return {**found, "words": words_of(found), "shares": sentences(found)}

    def leaves(self, state: StudioState) -> Numbers:
        """Return the names of the merged leaves and the blocks of the deepest stack; raises as planning does."""
        leaves = self._models.engine.plan(state.recipe).space.leaves
        return {
            "names": [leaf.name for leaf in leaves],
            "blocks": max((leaf.depth.count for leaf in leaves), default=0),
        }

    def _looked(self, recipe: Recipe, info: MethodInfo, space: ParameterSpace) -> Numbers:
        params = recipe.method.params
        whole = one_matrix(space, lambda leaf: info.sees_whole(leaf.name, leaf.shape, params))
        sample = whole or scattered(space, rows=info.whole_leaf is None)
        opened = partial(self._models.engine.opened, base=recipe.base)
        looked = self._merges.look(recipe, sample, opened)
        spectral = whole is not None and info.group == _SPECTRUM
        return {
            "sample": _sample(sample, space),
            **numbers_of(looked),
            "spectrum": spectrum_of(looked, sample) if spectral else None,
        }


def numbers_of(looked: Looked) -> Numbers:
    """Return the shares of a look, and the dots of its picture: plain mean, merged number, and how far experts agree.

    `agree`: all that move a number push it the same way; `most`: one side has three quarters of what they would add;
    `split`: neither has.
    """
    parts, merged = looked.parts.double(), looked.merged.double()
    mean = parts.mean(dim=0)
    up, down = parts.clamp(min=0.0).sum(dim=0), (-parts).clamp(min=0.0).sum(dim=0)
    moved, disputed = (up + down) > 0.0, (up > 0.0) & (down > 0.0)
    heavier = torch.maximum(up, down) >= _MOSTLY * (up + down)
    zero, with_more = merged == 0.0, merged.sign() == (up - down).sign()
    n, among = mean.numel(), int(disputed.sum())
    step = max(1, n // DOTS)
    places = range(0, n, step)
    kinds = torch.where(~disputed, 0, torch.where(heavier, 1, 2))
    square = float(mean @ mean)
    return {
        "n": n,
        "kept": float((~zero).double().mean()),
        "dropped": float((zero & moved).double().mean()),
        "disputed": among / n,
        "stronger": _share(~zero & with_more & disputed, among),
        "zeroed": _share(zero & disputed, among),
        "weaker": _share(~zero & ~with_more & disputed, among),
        "survive": looked.survive,
        "slope": float(mean @ merged) / square if square > 0.0 else None,
        "dots": {
            "mean": _rounded(mean[places]),
            "merged": _rounded(merged[places]),
            "agreement": [("agree", "most", "split")[kind] for kind in kinds[places].tolist()],
        },
    }


def spectrum_of(looked: Looked, sample: Sample) -> Numbers:
    """Return the singular values of the one leaf of a sample: of the plain sum, and of what the method made of it."""
    shape = sample.cuts[0].shape
    total = looked.parts.double().sum(dim=0).view(shape)
    found = {"sum": total, "merged": looked.merged.double().view(shape)}
    return {name: _rounded(torch.linalg.svdvals(matrix)) for name, matrix in found.items()}


def _sample(sample: Sample, space: ParameterSpace) -> dict[str, Any]:
    return {
        "of": space.size,
        "leaves": len(sample.cuts),
        "leaf": sample.cuts[0].name if len(sample.cuts) == 1 else None,
        "shape": list(sample.cuts[0].shape) if len(sample.cuts) == 1 else None,
        "whole": sample.whole,
    }


def _share(which: torch.Tensor, among: int) -> float | None:
    return int(which.sum()) / among if among else None


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
