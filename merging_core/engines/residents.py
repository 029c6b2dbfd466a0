"""The vectors that the live engine keeps: checkpoints opened once, flat weights and task vectors by content.

Everything here is shared and read-only by agreement. A key is the content of what it was computed from, never a name:
two references to the same weights share one vector, and a file that changed gets a new one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

import torch

from merging_core.checkpoints.adapted import adapted
from merging_core.checkpoints.files import Fingerprint
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.engines.kernel import subtract_
from merging_core.engines.learned import Learned, mask_flat_of
from merging_core.engines.measured import Statistics, check_measured_experts, leaf_measured
from merging_core.engines.plan import Opens, Survey, survey
from merging_core.engines.residency import Residency
from merging_core.errors import BasinError
from merging_core.methods.measured import Measured
from merging_core.recipes.recipe import Recipe
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf

__all__ = ["Beside", "Residents", "Shares"]

_SURVEYS = 64
_OPENED = 128
"""Checkpoints that are held open; what was used longest ago goes."""


class Shares(Opens, Protocol):
    """What is asked of a catalog whose open checkpoints are held for everybody."""

    def check_access(self, ref: Ref, /) -> None:
        """Raise where whoever the work is done for may not read the checkpoint."""


class Beside:
    """What was measured of the experts, kept like their vectors: of a piece of the flat vector, and of a whole leaf."""

    def __init__(self, surveyed: Survey, store: Residency, device: torch.device) -> None:
        self._surveyed, self._store, self._device = surveyed, store, device
        self._known = [one for one in surveyed.statistics if one is not None]
        self._sizes = tuple(one.size for one in self._known)
        elementwise = any(one.about.kind == "fisher" for one in self._known)
        self._flats = tuple(self._flat(one) for one in self._known) if elementwise else ()

    def piece(self, start: int, stop: int) -> Measured | None:
        """Return numbers like the models' own, of the elements start … stop − 1."""
        if not self._flats:
            return None
        return Measured(tuple(flat[start:stop] for flat in self._flats), self._sizes)

    def leaf(self, leaf: SpaceLeaf) -> Measured | None:
        """Return the Gram matrices of a leaf; raises as reading does."""
        if not self._known or self._flats:
            return None
        key = ("grams", leaf.name, *(one.checkpoint.content() for one in self._known))
        grams = self._store.get(key, lambda: leaf_measured(self._known, leaf.name, self._device).values)
        return Measured(grams, turned=any(one.turned(leaf.name) for one in self._known))

    def _flat(self, found: Statistics) -> torch.Tensor:
        space = self._surveyed.space
        key = ("measured", found.checkpoint.content(), space.size)
        return self._store.get(key, lambda: found.flat(space, self._device))


class Residents:
    """Open checkpoints, spaces and flat vectors, each made once while it fits the budget."""

    def __init__(self, catalog: Shares, device: torch.device, budget: int) -> None:
        self.device = device
        self.store = Residency(budget)
        self._catalog = catalog
        self._surveys = Residency(_SURVEYS)
        self._adapted = Residency(_OPENED)
        self._opened: OrderedDict[str, Checkpoint] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, ref: str, base: str | None = None) -> Checkpoint:
        """Open a checkpoint; a LoRA adapter stands for the base with it, where `base` names one.

        Raises as opening does, and CheckpointError with everything in an adapter that does not fit the base.
        """
        found = self._held(ref)
        if found.adapter is None or base is None:
            return found
        origin = self._held(base)
        return self._adapted.get((id(origin), id(found)), lambda: adapted(origin, found), lambda _: 1)

    def _held(self, ref: str) -> Checkpoint:
        """Open a checkpoint, or return the open one if its files are still those that were checked.

        What is held is everybody's, so the catalog is asked each time whether it may be read.
        """
        with self._lock:
            held = self._opened.get(ref)
            if held is not None:
                self._opened.move_to_end(ref)
        if held is not None:
            self._catalog.check_access(held.ref)
            if held.ref.scheme == "zoo" or _unchanged(held):
                return held
        fresh = self._catalog.open(ref)
        with self._lock:
            self._opened[ref] = fresh
            self._opened.move_to_end(ref)
            while len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        return fresh

    def survey(self, recipe: Recipe) -> Survey:
        """Return the open checkpoints of a recipe and their space; raises as planning does."""
        measured = (entry.statistics for entry in recipe.models)
        named = (recipe.base, *(entry.ref for entry in recipe.models), recipe.tensors, *measured)
        refs = [ref for ref in named if ref is not None]
        opened: dict[str, Checkpoint] = {}
        failed: dict[str, BasinError] = {}
        for ref in refs:
            try:
                opened[ref] = self.open(ref)
            except BasinError as error:
                failed[ref] = error

        def again(ref: str) -> Checkpoint:
            if ref in failed:
                raise failed[ref]
            return opened[ref]

        if failed:
            return survey(recipe, again)
        key = ("survey", recipe.base, recipe.vocabulary, named, tuple(id(opened[ref]) for ref in refs))
        return self._surveys.get(key, lambda: survey(recipe, again), lambda _: 1)

    def weights(self, checkpoint: Checkpoint, space: ParameterSpace) -> torch.Tensor:
        """Return the flat float32 weights θ `[N]` of a checkpoint."""
        key = ("weights", checkpoint.content(), space.size)
        return self.store.get(key, lambda: space.flat(checkpoint, self.device))

    def task_vector(self, base: Checkpoint, expert: Checkpoint, space: ParameterSpace) -> torch.Tensor:
        """Return the flat task vector τ = θ − θ₀ `[N]`."""

        def build() -> torch.Tensor:
            origin = self.weights(base, space)
            return subtract_(space.flat(expert, self.device), origin)

        return self.store.get(self.task_vector_key(base, expert, space), build)

    def learned_mask(self, learned: Learned, space: ParameterSpace) -> torch.Tensor:
        """Return the flat learned mask `[N]`."""
        key = ("learned mask", learned.mask_content, space.size)
        return self.store.get(key, lambda: mask_flat_of(learned, space, self.device))

    def beside(self, surveyed: Survey) -> Beside:
        """Return what a combination reads of a plan's statistics; raises PlanError where they are of other experts."""
        check_measured_experts(surveyed.statistics, surveyed.experts)
        return Beside(surveyed, self.store, self.device)

    def copied(self, surveyed: Survey) -> dict[str, torch.Tensor]:
        """Return the leaves that are taken over as they are."""
        source = surveyed.reference
        names = [leaf.name for leaf in surveyed.space.copied]
        if not names:
            return {}
        key = ("copied", source.content())
        return self.store.get(key, lambda: {name: source.read(name).to(self.device) for name in names})

    @staticmethod
    def task_vector_key(base: Checkpoint, expert: Checkpoint, space: ParameterSpace) -> tuple[str, str, str, int]:
        """Return what a task vector is computed from."""
        return ("task vector", base.content(), expert.content(), space.size)


def _unchanged(checkpoint: Checkpoint) -> bool:
    try:
        for name, header in checkpoint.files.items():
            status = (checkpoint.folder / name).stat()
            if Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev) != header.fingerprint:
                return False
    except OSError:
        return False
    return True
