"""What an export would be: its plan, what keeps it from being made, and what goes into the card."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.charts import accuracy as accuracy_chart
from app.charts import layers as layers_chart
from app.charts import path as path_chart
from app.export.table import Conditions, table_of
from app.export.work import PROGRAM_BYTES
from app.families import Family
from app.hub.source import VisitorsHub
from app.learned import learned_in
from app.ledger import Ledger
from app.own_family import family_named
from app.state import StudioState
from app.studio.here import not_here
from app.studio.workbench import Cancelled, Workbench
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.local import LocalFolders
from merging_core.checkpoints.shards import shards
from merging_core.checkpoints.uploads import UploadedCheckpoints
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import Plan
from merging_core.engines.means import Room
from merging_core.engines.plan import price, survey
from merging_core.errors import PlanError
from merging_core.export import forms, in_words, pinned
from merging_core.hub.data_ref import data_ref
from merging_core.recipes.recipe import Recipe
from merging_core.recipes.resolving import references

__all__ = ["Planner"]

_START_SECONDS = 3.0
"""What a worker process takes to be there, and to draw the charts."""


@dataclass(frozen=True)
class Planner:
    """Plans exports of what the studio shows: checkpoints of the zoo, of the folder `models` and of the Hub."""

    workbench: Workbench
    ledger: Ledger
    zoo: Path
    models: Path | None
    data: Path | None
    largest: int
    """Bytes that one export may have."""
    uploads: Path | None = None
    """Where uploads lie, on a server that takes some."""
    hub: VisitorsHub | None = None
    learned: Path | None = None
    """Where learned tensors lie."""
    memory: int | None = None
    """Bytes that the process of one export may take; None for all of the machine's."""

    @cached_property
    def catalog(self) -> Catalog:
        """The checkpoints of the zoo, of the folder, of the Hub, those uploaded, and no other files of this machine."""
        local = LocalFolders(self.models) if self.models is not None else None
        uploads = UploadedCheckpoints(self.uploads) if self.uploads is not None else None
        learned = learned_in(self.learned) if self.learned is not None else None
        return Catalog(load_zoo(self.zoo), hub=self.hub, local=local, uploads=uploads, learned=learned)

    def plan(self, state: StudioState, shard_bytes: int | None) -> tuple[Plan, Conditions]:
        """Plan a merge, and say what it asks of this server and what keeps it from being made now.

        Raises: whatever planning says, and everything else that can be known beside it.
        """
        recipe = state.recipe
        surveyed = survey(recipe, self.catalog.open)
        outputs = surveyed.outputs(recipe.dtype)
        conditions = self._conditions(recipe, sum(leaf.nbytes for leaf in outputs))
        try:
            plan = price(recipe, surveyed, Room(self.memory, PROGRAM_BYTES))
            shards(plan.outputs, shard_bytes)
        except PlanError as error:
            raise PlanError(*error.problems, *conditions.problems) from None
        return plan, conditions

    def shown(self, plan: Plan, conditions: Conditions, shard_bytes: int | None) -> dict[str, Any]:
        """Return a plan as the page shows it, with the recipe in its forms."""
        return {
            "words": in_words(plan.recipe),
            "hash": plan.hash,
            "name": name_of(plan),
            "models": [checkpoint.label for checkpoint in plan.survey.experts],
            **table_of(plan, shard_bytes),
            **conditions.as_json(),
            "seconds": round(plan.estimated_seconds + _START_SECONDS, 1),
            "forms": forms(pinned(plan.recipe, plan.pins), shard_bytes).as_json(),
        }

    def recorded(self, visitor: str, state: StudioState) -> dict[str, Any] | None:
        """Return the visitor's test score of this merge, with a sentence about it, if one was taken."""
        family = family_named(self.workbench.families, state.family)
        evaluation = self.workbench.evaluation(family)
        numbers = self.ledger.recorded(visitor, self.workbench.identity(state), evaluation)
        if numbers is None:
            return None
        taken = self.ledger.scores_taken(visitor, family.tasks)
        many = "1 test score has" if taken == 1 else f"{taken} test scores have"
        note = f"{many} been taken on these tasks by whoever made this merge; the more one looks, the less they prove."
        return {"numbers": numbers, "note": note}

    def payload(
        self, visitor: str, state: StudioState, plan: Plan, shard_bytes: int | None, cancelled: Cancelled
    ) -> dict[str, Any]:
        """Measure what is not known yet, and return everything that the job needs, as plain JSON.

        Raises: `CancelledError` when it was stopped.
        """
        family = family_named(self.workbench.families, state.family)
        measured = bool(family.tasks)
        numbers = self.workbench.accuracy(state, "validation", "full", cancelled).numbers if measured else None
        score = self.recorded(visitor, state) if measured else None
        return {
            "zoo": str(self.zoo.absolute()),
            "models": str(self.models.absolute()) if self.models is not None else None,
            "uploads": str(self.uploads.absolute()) if self.uploads is not None else None,
            "hub_cache": str(self.hub.cache.absolute()) if self.hub is not None else None,
            "learned": str(self.learned.absolute()) if self.learned is not None else None,
            "recipe": plan.recipe.as_json(),
            "hash": plan.hash,
            "name": name_of(plan),
            "shard_bytes": shard_bytes,
            "memory": self.memory,
            "results": [*([{"numbers": numbers, "note": ""}] if numbers else []), *([score] if score else [])],
            "data": data_of(family),
            "charts": self._charts(state, family, numbers, cancelled),
        }

    def _conditions(self, recipe: Recipe, size: int) -> Conditions:
        """Say what a merge whose output has `size` bytes asks of this server. Raises: as opening its models does."""
        away = not_here(references(recipe), self.catalog.open)
        missing = tuple((away[ref].label, size) for ref, size in self.catalog.missing_bytes(away).items())
        free = shutil.disk_usage(self.data or tempfile.gettempdir()).free
        return Conditions(size, self.largest, free, missing)

    def _charts(
        self, state: StudioState, family: Family, numbers: dict[str, Any] | None, cancelled: Cancelled
    ) -> list[dict[str, Any]]:
        charts = []
        if state.recipe.base is not None:
            layers = self.workbench.layers(state)
            title = f"Layers\n{family.title}"
            figure = layers_chart.figure_of(layers)
            charts.append({"kind": "layers", "title": title, "figure": figure, "numbers": layers})
        if numbers is None:
            return charts
        path = self.workbench.path(state, False, cancelled)
        validation = path["splits"]["validation"]["n"]
        return [
            {
                "kind": "accuracy",
                "title": f"Accuracy per task\nvalidation, n {numbers['n']}",
                "figure": accuracy_chart.figure_of(numbers),
                "numbers": numbers,
            },
            {
                "kind": "path",
                "title": f"Path from {path['a']} to {path['b']}\nvalidation, preview, n {validation}",
                "figure": path_chart.figure_of(path),
                "numbers": path,
            },
            *charts,
        ]


def data_of(family: Family) -> dict[str, dict[str, str | None]]:
    """Return what each task of a family was measured on, as the fields of `merging_core.export.TaskData`.

    A data set of the Hub has its name and commit; whatever else it is has a name that is none there.
    """
    specs = {spec.name: spec for spec in family.specs}
    found: dict[str, dict[str, str | None]] = {}
    for task in family.tasks:
        spec = specs.get(task)
        kind = "text-classification" if spec is not None and spec.kind == "texts" else "image-classification"
        if spec is not None and spec.source.startswith("hub:"):
            ref = data_ref(spec.source)
            found[task] = {"kind": kind, "name": ref.path, "config": spec.config, "revision": ref.commit}
        else:
            found[task] = {"kind": kind, "name": "unpublished" if spec is not None else task.replace("/", "-")}
    return found


def name_of(plan: Plan) -> str:
    """Name a merge as a folder: its method and the beginning of its hash."""
    return f"basin-{plan.recipe.method.name.replace('_', '-')}-{plan.hash[:8]}"
