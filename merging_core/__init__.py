"""Basin's library: checkpoints in; plans, merges and reports out. It knows nothing of the page around it.

    recipe = load_recipe("mine.yaml")
    catalog = Catalog(load_zoo(), allow_files=True)
    stream_merge(make_plan(recipe, catalog), catalog, "merged")

What stands here is loaded when it is first used, so that help, a mistyped argument and Ctrl-C need not wait for torch.
"""

from typing import TYPE_CHECKING

from merging_core.errors import BasinError as BasinError
from merging_core.errors import Problem as Problem

if TYPE_CHECKING:
    from merging_core.checkpoints import Catalog as Catalog
    from merging_core.checkpoints import Checkpoint as Checkpoint
    from merging_core.checkpoints import open_checkpoint as open_checkpoint
    from merging_core.checkpoints import write_checkpoint as write_checkpoint
    from merging_core.checkpoints.learned import LearnedTensors as LearnedTensors
    from merging_core.checkpoints.zoo import load_zoo as load_zoo
    from merging_core.engines import LiveEngine as LiveEngine
    from merging_core.engines import Merged as Merged
    from merging_core.engines import Plan as Plan
    from merging_core.engines import make_plan as make_plan
    from merging_core.engines import stream_merge as stream_merge
    from merging_core.evaluation.evaluator import Evaluator as Evaluator
    from merging_core.evaluation.loading import load_task as load_task
    from merging_core.evaluation.paths import barrier as barrier
    from merging_core.evaluation.paths import trace as trace
    from merging_core.evaluation.report import Report as Report
    from merging_core.evaluation.report import compare as compare
    from merging_core.export import export_checkpoint as export_checkpoint
    from merging_core.hub.client import Hub as Hub
    from merging_core.recipes import Recipe as Recipe
    from merging_core.recipes import load_recipe as load_recipe
    from merging_core.recipes import parse_recipe as parse_recipe
    from merging_core.space import TaskVector as TaskVector
    from merging_core.space import build_space as build_space
    from merging_core.space import task_vector as task_vector

__version__ = "0.1.0"

__all__ = [
    "BasinError",
    "Catalog",
    "Checkpoint",
    "Evaluator",
    "Hub",
    "LearnedTensors",
    "LiveEngine",
    "Merged",
    "Plan",
    "Problem",
    "Recipe",
    "Report",
    "TaskVector",
    "__version__",
    "barrier",
    "build_space",
    "compare",
    "export_checkpoint",
    "load_recipe",
    "load_task",
    "load_zoo",
    "make_plan",
    "open_checkpoint",
    "parse_recipe",
    "stream_merge",
    "task_vector",
    "trace",
    "write_checkpoint",
]

_ROOMS = {
    "merging_core.checkpoints": ("Catalog", "Checkpoint", "open_checkpoint", "write_checkpoint"),
    "merging_core.checkpoints.learned": ("LearnedTensors",),
    "merging_core.checkpoints.zoo": ("load_zoo",),
    "merging_core.engines": ("LiveEngine", "Merged", "Plan", "make_plan", "stream_merge"),
    "merging_core.evaluation.evaluator": ("Evaluator",),
    "merging_core.evaluation.loading": ("load_task",),
    "merging_core.evaluation.paths": ("barrier", "trace"),
    "merging_core.evaluation.report": ("Report", "compare"),
    "merging_core.export": ("export_checkpoint",),
    "merging_core.hub.client": ("Hub",),
    "merging_core.recipes": ("Recipe", "load_recipe", "parse_recipe"),
    "merging_core.space": ("TaskVector", "build_space", "task_vector"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
