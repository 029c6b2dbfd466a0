"""A folder in which a measurement trains checkpoints and learns recipes, with an engine and an evaluator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.evaluator import Evaluator, parts_of
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.percent import percent
from merging_core.evaluation.report import Report, compare
from merging_core.evaluation.tasks import Task
from merging_core.learning import Bench, Ended, Finished, open_run, parse_spec
from merging_core.learning.attacks import Attack
from merging_core.learning.robustness import robust_report

__all__ = ["BASE", "Rows", "Workshop", "printed", "row_of"]

BASE = "zoo:tiny/base"
Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""For each model and each kind of pictures, what `row_of` says."""


class Workshop:
    """Runs of learning from the zoo's base, on tasks that are given to each."""

    def __init__(self, folder: Path) -> None:
        self._zoo, self._folder = load_zoo(), folder
        self._store = LearnedTensors((folder / "learned",))
        self._engine = LiveEngine(Catalog(self._zoo, allow_files=True, learned=self._store), "cpu")
        self._evaluator = Evaluator("cpu")
        self.config = self._engine.opened(BASE).config

    def task(self, name: str) -> Task:
        """Load a task of the zoo."""
        return load_task(self._zoo.task_folder(f"tiny/{name}"))

    def weights(self, ref: str) -> dict[str, torch.Tensor]:
        """Return the weights of a checkpoint."""
        return self._engine.checkpoint(ref)

    def trained(self, name: str, base: str, tasks: Sequence[Task], steps: int, **params: object) -> str:
        """Train a checkpoint from a base, 64 examples a step, and return its reference."""
        names = [task.name for task in tasks]
        seed = params.pop("seed", 0)
        given = {"base": base, "tasks": names, "steps": steps, "batch": 64 // len(tasks), "keep": "last", "seed": seed,
                 "check": {"every": steps}}  # fmt: skip
        plain = {"looks": "none", **params}
        self._ran(given, {"name": "train_expert", "params": plain}, tasks, self._folder / name)
        return f"file:{self._folder / name}"

    def learned(self, given: Mapping[str, object], method: str, tasks: Sequence[Task], **params: object) -> Finished:
        """Learn a recipe."""
        whole = {"tasks": [task.name for task in tasks], **given}
        ended = self._ran(whole, {"name": method, "params": params}, tasks, None)
        if not isinstance(ended, Finished):
            raise TypeError("a recipe")
        return ended

    def merged(self, ended: Finished) -> dict[str, torch.Tensor]:
        """Return the weights of what was learned."""
        return self._engine.merge(ended.recipe).weights

    def report(self, model: str | Mapping[str, torch.Tensor], tasks: Sequence[Task], split: str) -> Report:
        """Measure weights, or a checkpoint, on all of a split."""
        weights = self.weights(model) if isinstance(model, str) else model
        return self._evaluator.evaluate(self.config, weights, tasks, split)

    def attacked(
        self, model: str | Mapping[str, torch.Tensor], tasks: Sequence[Task], split: str, attack: Attack
    ) -> Report:
        """Measure weights, or a checkpoint, on all of a split under an attack."""
        weights = self.weights(model) if isinstance(model, str) else model
        return robust_report(self.config, weights, parts_of(tasks, split, "full"), attack).report

    def _ran(
        self, given: Mapping[str, object], method: Mapping[str, object], tasks: Sequence[Task], expert: Path | None
    ) -> Ended:
        spec = parse_spec({"version": 1, "method": method, **given})
        with open_run(spec, Bench(self._engine, self._evaluator, tuple(tasks), self._store, expert)) as run:
            *_, last = run.events()
        if not isinstance(last, Ended):
            raise TypeError("a run ends")
        return last


def row_of(report: Report, other: Report) -> dict[str, Any]:
    """Return what a table holds of a report, with its paired difference to another."""
    gain = compare(report, other).average
    return {"accuracy": report.average, "interval": report.average_interval, "n": report.n,
            "difference": gain.value, "difference_interval": gain.interval}  # fmt: skip


def printed(rows: Rows, *, as_json: bool) -> str:
    """Return the rows as a table, or as JSON."""
    if as_json:
        return json.dumps(rows, indent=2) + "\n"
    lines = []
    for name, row in rows.items():
        lines.append(name)
        for kind, found in row.items():
            low, high = found["interval"]
            ends = " to ".join(f"{100 * end:+.1f}" for end in found["difference_interval"])
            said = f"{percent(found['accuracy'])} % ({percent(low)} to {percent(high)}), n {found['n']}"
            lines.append(f"    {kind:<30}{said}, {100 * found['difference']:+.1f} ({ends})")
    return "\n".join(lines) + "\n"
