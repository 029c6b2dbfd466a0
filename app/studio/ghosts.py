"""Ghosts: what the tangent at the base foretells beside each bar of the studio, without running the merge.

The base's output f(x; θ₀) and its derivative along each task vector are found once for a family, bit by bit while they
are wanted, the preview first. Then the logits of every position of the sliders are f(x; θ₀) + Σ λ·wₜ·∇f(x; θ₀)·τₜ, a
few products of small matrices. That holds for a plain weighted sum of task vectors: task arithmetic without a mask and
without layer scaling; for other methods nothing is foretold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from app.families import Family, plain
from app.studio.memo import Memo
from app.studio.workbench import Cancelled, FamilyTask, Foretold, Models, Numbers
from merging_core.analysis.studies.memory import Arrays, Memory
from merging_core.analysis.tangents.ground import grown, runs_of
from merging_core.engines.points import points_of
from merging_core.errors import CancelledError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part, parts_of
from merging_core.evaluation.heads import Head
from merging_core.evaluation.metrics import correct
from merging_core.evaluation.report import Subset
from merging_core.evaluation.tangents import Tangents, tangent_logits
from merging_core.methods.varying import Varying
from merging_core.recipes import Recipe

__all__ = ["WHY_NOT", "Ghosts", "shares_of"]

WHY_NOT = "The tangent is known at once for task arithmetic without a mask and without layer scaling."
_SPLIT = "validation"
_SUBSETS: tuple[Subset, ...] = ("preview", "full")
_FAMILIES = 4
_MOST_BYTES = 1 << 27
"""Of one family; where all examples would take more, the preview alone is foretold."""
_SECONDS = 0.25
_RUN = 36
"""So many examples are differentiated before it is asked whether a slider waits."""


@dataclass(eq=False)
class _Kept:
    """What is known of a family: arrays of value and slope, by expert, task and split, and each task's head."""

    memory: Memory = field(default_factory=Memory)
    heads: dict[str, Head] = field(default_factory=dict)


class Ghosts:
    """Finds tangents of families and foretells accuracies by them; safe to use from several threads.

    `key(family)`: what tells its contents from others', which only opening them gives. `seconds`: how long one request
    for more may take.
    """

    def __init__(self, models: Models, key: Callable[[Family], Hashable], *, seconds: float = _SECONDS) -> None:
        self._models = models
        self._key = key
        self._seconds = seconds
        self._kept: Memo[_Kept] = Memo(_FAMILIES)

    def foretold(self, recipe: Recipe, family: Family, subset: Subset) -> Foretold | None:
        """Return what is foretold of each task, on the preview where no more is known.

        None where the tangent does not tell, or is not here.
        """
        shares = shares_of(recipe, family)
        kept = self._kept.known(self._key(family)) if shares else None
        if kept is None or not shares:
            return None
        asked: tuple[Subset, ...] = ("preview",) if subset == "preview" else ("full", "preview")
        for one in asked:
            found = self._accuracies(kept, shares, family, one)
            if found is not None:
                return Foretold(one, found)
        return None

    def _accuracies(
        self, kept: _Kept, shares: Mapping[str, float], family: Family, subset: Subset
    ) -> dict[str, float] | None:
        found = {}
        for part in parts_of(self._models.tasks_of(family), _SPLIT, subset):
            along = [_tangents(kept, ref, part) for ref in shares]
            known = [tangents for tangents in along if tangents is not None]
            if len(known) < len(along):
                return None
            logits = tangent_logits(known, list(shares.values()))
            found[part.task.name] = float(correct(logits, known[0].labels).double().mean())
        return found

    def grow(self, family: Family, cancelled: Cancelled) -> Numbers:
        """Find more tangents of a family for a moment: `{known: the subsets that are whole, complete}`.

        Raises: `CancelledError`, and whatever opening and running its models say.
        """
        if family.base is None or not family.experts or not family.tasks:
            return {"known": [], "complete": True}
        tasks = self._models.tasks_of(family)
        if any(task.metric == "perplexity" for task in tasks):
            return {"known": [], "complete": True}
        kept = self._kept.get(self._key(family), _Kept)
        until = time.monotonic() + self._seconds
        found: _Finding | None = None
        known: list[str] = []
        for subset in _SUBSETS:
            parts = parts_of(tasks, _SPLIT, subset)
            if subset == "full" and _bytes_of(kept, family, tasks) > _MOST_BYTES:
                break
            for place, ref in enumerate(_refs(family)):
                for run in runs_of(parts, _RUN):
                    if all(_tangents(kept, ref, part) is not None for part in run):
                        continue
                    if found is not None and cancelled():
                        raise CancelledError(Problem("ghosts are found while they are wanted", "a newer request"))
                    if found is not None and time.monotonic() > until:
                        return {"known": known, "complete": False}
                    found = found or _Finding(self._models, family, kept, cancelled)
                    found.differentiate(place, ref, run)
            known.append(subset)
        return {"known": known, "complete": True}


class _Finding:
    """Differentiates runs of examples along task vectors, for one request."""

    def __init__(self, models: Models, family: Family, kept: _Kept, cancelled: Cancelled) -> None:
        self._models, self._kept, self._cancelled = models, kept, cancelled
        refs = [str(family.base), *(expert.ref for expert in family.experts)]
        self._points = points_of(models.engine, refs, family.base)
        self._base = self._points.weights(self._points.flats[0])
        self._vectors: dict[int, Weights] = {}

    def differentiate(self, place: int, ref: str, run: Sequence[Part]) -> None:
        """Find what the examples of a run give at the base and along the task vector of one expert."""
        if place not in self._vectors:
            step = self._points.flats[place + 1] - self._points.flats[0]
            self._vectors = {place: self._points.space.views(step)}

        def measured(missing: list[Part]) -> list[Arrays]:
            config, vector = self._points.config, self._vectors[place]
            found = self._models.evaluator.tangents(config, self._base, vector, missing, self._cancelled)
            for part, tangents in zip(missing, found, strict=True):
                self._kept.heads[part.task.name] = tangents.head
            fields = ("value", "slope", "labels")
            return [{name: getattr(tangents, name).cpu().numpy() for name in fields} for tangents in found]

        grown(self._kept.memory, ref, run, measured)


def shares_of(recipe: Recipe, family: Family) -> dict[str, float] | None:
    """Return how much of each task vector a merge adds to the base; None where it is no plain weighted sum."""
    is_sum = (
        recipe.method.name == "task_arithmetic"
        and recipe.mask.kind == "none"
        and recipe.layer_scaling.kind == "constant"
        and recipe.tensors is None
        and recipe.vocabulary == "same"
        and recipe.base is not None
        and plain(recipe.base) == plain(family.base)
    )
    if not is_sum or isinstance(recipe.lambda_, Varying) or not all(family.has(entry.ref) for entry in recipe.models):
        return None
    shares: dict[str, float] = {}
    for entry in recipe.models:
        if isinstance(entry.weight, Varying) or entry.params:
            return None
        ref = plain(entry.ref)
        shares[ref] = shares.get(ref, 0.0) + recipe.lambda_ * entry.weight
    return shares


def _tangents(kept: _Kept, ref: str, part: Part) -> Tangents | None:
    found = kept.memory.get(f"{ref}|{part.task.name}|{part.split}")
    if found is None or len(found["labels"]) < part.stop:
        return None
    value, slope, labels = (torch.from_numpy(found[name][: part.stop]) for name in ("value", "slope", "labels"))
    return Tangents(value, slope, kept.heads[part.task.name].to(torch.device("cpu")), labels)


def _refs(family: Family) -> list[str]:
    return [plain(expert.ref) for expert in family.experts]


def _bytes_of(kept: _Kept, family: Family, tasks: Sequence[FamilyTask]) -> float:
    """Return how much all examples of a family would take, by those that are known."""
    total = 0.0
    for task in tasks:
        found = kept.memory.get(f"{_refs(family)[0]}|{task.name}|{_SPLIT}")
        if found is not None:
            total += sum(array.nbytes for array in found.values()) / len(found["labels"]) * len(task.labels(_SPLIT))
    return total * len(family.experts)
