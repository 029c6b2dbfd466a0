"""What a command is pointed at: checkpoints by reference, recipes by file, and the tasks that fit them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from merging_core.caches import own_folder
from merging_core.checkpoints import Catalog, Checkpoint
from merging_core.checkpoints.digests import Digests
from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import Zoo, ZooFamily, load_zoo
from merging_core.cli.downloads import readable, readable_recipe
from merging_core.cli.environment import HubWhenAsked, folders_of_environment
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.pricing import available_memory
from merging_core.errors import EvaluationError, Problem, closest
from merging_core.recipes import Recipe, load_recipe
from merging_core.space.parameter_space import build_space

if TYPE_CHECKING:  # merging needs none of it, and it takes a while to load
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.evaluation.report import TaskScore
    from merging_core.evaluation.tasks import Task

__all__ = ["Bench", "is_reference", "open_bench", "weights_of"]

_REFERENCE = re.compile(r"[a-z]{2,}:(?!//)")


@dataclass(frozen=True)
class Bench:
    """The zoo, and a catalog that also opens files and checkpoints of the Hub."""

    zoo: Zoo
    catalog: Catalog

    def engine(self) -> LiveEngine:
        """Return a live engine on the CPU that may use half of this machine's memory."""
        return LiveEngine(self.catalog, "cpu", (available_memory() or 8 << 30) // 2)

    def end(self, text: str) -> tuple[Recipe | str, Checkpoint]:
        """Return an end of a path, a reference or a recipe, with the checkpoint whose configuration it has."""
        if is_reference(text):
            text = readable(text, self.catalog)
            return text, self.catalog.open(text)
        recipe = readable_recipe(load_recipe(text), self.catalog)
        return recipe, make_plan(recipe, self.catalog).survey.reference

    def family(self, checkpoint: Checkpoint, name: str | None) -> ZooFamily:
        """Return the family of that name, or the one whose base has the same leaves as the checkpoint.

        Raises CheckpointError for an unknown name, EvaluationError where no family has these leaves.
        """
        if name is not None:
            return self.zoo.family(name)
        wanted = _shapes(checkpoint)
        for family in self.zoo.families:
            if _shapes(self.catalog.open(family.base)) == wanted:
                return family
        names = ", ".join(family.name for family in self.zoo.families)
        must = "the leaves are those of a family of the zoo, whose tasks can then be used"
        fix = f"name the family whose tasks fit: --family {names}"
        raise EvaluationError(Problem(must, f"{len(wanted)} leaves like no family's", checkpoint.label, fix))

    def base(self, family: ZooFamily, recipe: Recipe | None) -> Checkpoint:
        """Return the checkpoint that a model is linearised at: its recipe's base, else its family's.

        Raises CheckpointError, EvaluationError for a recipe that has none.
        """
        ref = family.base if recipe is None else recipe.base
        if ref is None:
            must, fix = "a model is linearised at its base", "give the recipe a base"
            raise EvaluationError(Problem(must, "a recipe without one", "base", fix))
        return self.catalog.open(ref)

    def tasks(self, family: ZooFamily, names: Sequence[str]) -> tuple[Task, ...]:
        """Load the named tasks of a family, or all; `digits` is short for `tiny/digits`.

        Raises EvaluationError with every name that is not known.
        """
        from merging_core.evaluation.loading import load_task

        known = {task.rpartition("/")[2]: task for task in family.tasks}
        short = [name.rpartition("/")[2] if name in family.tasks else name for name in names]
        problems = [
            Problem(f"a task is one of {family.name}'s", name or "nothing", "--task", closest(name, known))
            for name in short
            if name not in known
        ]
        if problems:
            raise EvaluationError(*problems)
        chosen = [task for task_name, task in known.items() if not short or task_name in short]
        return tuple(load_task(self.zoo.task_folder(task)) for task in chosen)

    def experts(
        self, family: ZooFamily, tasks: Sequence[Task], evaluator: Evaluator, split: str
    ) -> dict[str, TaskScore]:
        """Score each task's expert on its own task, for the normalised accuracy."""
        experts = {task: ref for ref, task in family.expert_task.items() if ref in family.experts}
        scores = {}
        for task in tasks:
            if task.name in experts:
                expert = self.catalog.open(experts[task.name])
                report = evaluator.evaluate(expert.config, weights_of(expert), [task], split)
                scores[task.name] = report.tasks[0]
        return scores


def open_bench(*recipes: str | Path) -> Bench:
    """Read the zoo's manifest; files of this machine and checkpoints of the Hub may be opened too.

    Learned tensors are looked for beside the files of `recipes`; references among them are passed over.
    """
    beside = tuple(Path(text).parent for text in recipes if not is_reference(str(text)))
    zoo, hub, local = load_zoo(), HubWhenAsked(), folders_of_environment()
    digests = Digests(partial(own_folder, "digests"))
    learned = LearnedTensors(beside)
    return Bench(zoo, Catalog(zoo, allow_files=True, hub=hub, local=local, learned=learned, digests=digests))


def is_reference(text: str) -> bool:
    """Say whether a text names a checkpoint, as opposed to a recipe's file.

    >>> is_reference("zoo:tiny/digits"), is_reference("recipes/mine.yaml"), is_reference("c:/recipe.json")
    (True, False, False)
    """
    return _REFERENCE.match(text) is not None


def weights_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Read every leaf; raises NonFiniteError where one holds NaN or infinity, SpaceError for an adapter alone."""
    build_space(None, [checkpoint])
    return {name: checkpoint.read(name) for name in checkpoint.leaves}


def _shapes(checkpoint: Checkpoint) -> Mapping[str, Any]:
    return {leaf.name: leaf.shape for leaf in checkpoint.leaves.values() if is_floating(leaf.dtype)}
