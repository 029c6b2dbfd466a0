"""The vectors that the live engine keeps: checkpoints opened once, flat weights and task vectors by content.

Everything here is shared and read-only by agreement. A key is the content of what it was computed from, never a name:
two references to the same weights share one vector, and a file that changed gets a new one.
"""

from __future__ import annotations

import threading

import torch

from merging_core.checkpoints.files import Fingerprint
from merging_core.checkpoints.reader import Checkpoint
from merging_core.engines.kernel import subtract_
from merging_core.engines.plan import Opens, Survey, survey
from merging_core.engines.residency import Residency
from merging_core.recipes.recipe import Recipe
from merging_core.space.parameter_space import ParameterSpace

__all__ = ["Residents"]

_SURVEYS = 64


class Residents:
    """Open checkpoints, spaces and flat vectors, each made once while it fits the budget."""

    def __init__(self, catalog: Opens, device: torch.device, budget: int) -> None:
        self.device = device
        self.store = Residency(budget)
        self._catalog = catalog
        self._surveys = Residency(_SURVEYS)
        self._opened: dict[str, Checkpoint] = {}
        self._lock = threading.Lock()

    def open(self, ref: str) -> Checkpoint:
        """Open a checkpoint, or return the open one if its files are still those that were checked."""
        with self._lock:
            held = self._opened.get(ref)
        if held is not None and (held.ref.scheme == "zoo" or _unchanged(held)):
            return held
        fresh = self._catalog.open(ref)
        with self._lock:
            self._opened[ref] = fresh
        return fresh

    def survey(self, recipe: Recipe) -> Survey:
        """Return the open checkpoints of a recipe and their space; raises as planning does."""
        refs = (recipe.base, *(entry.ref for entry in recipe.models))
        opened = tuple(id(self.open(ref)) for ref in refs if ref is not None) if self._known(refs) else ()
        if opened:
            return self._surveys.get(("survey", refs, opened), lambda: survey(recipe, self.open), lambda _: 1)
        return survey(recipe, self.open)

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

    def _known(self, refs: tuple[str | None, ...]) -> bool:
        with self._lock:
            return all(ref is None or ref in self._opened for ref in refs)


def _unchanged(checkpoint: Checkpoint) -> bool:
    try:
        for name, header in checkpoint.files.items():
            status = (checkpoint.folder / name).stat()
            if Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev) != header.fingerprint:
                return False
    except OSError:
        return False
    return True
