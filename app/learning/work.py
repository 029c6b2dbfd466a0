"""The work of a run, in its own process: go through its events, write what the page draws, keep where it stands."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.learning.files import RunFiles
from app.worker import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from merging_core.engines import LiveEngine
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.evaluation.report import Comparison, Report
    from merging_core.evaluation.tasks import AnyTask
    from merging_core.learning import Checked, Finished, LearnSpec, Progress, State
    from merging_core.recipes import Recipe

__all__ = ["NAME", "learn"]

NAME = "app.learning.work:learn"
"""How a job names this work."""
_SPARE = 20.0
"""Seconds before the end of a job's time at which a run stands still by itself, so that it can go on."""


def learn(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Go on with the run in `payload["run"]` until it is finished, or stands still with its state on the disk.

    The payload is what `app.learning.service` puts together. Raises whatever opening, planning and learning say.
    """
    import torch

    torch.set_num_threads(1)
    from app.hub.held_catalog import held_catalog
    from app.learned import learned_in
    from app.tasks.named import tasks_named
    from merging_core.engines import LiveEngine
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.learning import Checked, Finished, Paused, Progress, Session, State, parse_spec

    until = time.monotonic() + payload["seconds"] - _SPARE
    files = RunFiles(Path(payload["run"]))
    spec = parse_spec(payload["spec"])
    names = ("models", "uploads", "hub_cache", "learned")
    catalog = held_catalog(payload["zoo"], **{name: payload[name] for name in names})
    tasks = tasks_named(catalog.zoo, Path(payload["tasks_root"]), spec.tasks, payload["specs"])
    engine = LiveEngine(catalog, payload["device"], payload["memory"])
    evaluator = Evaluator(engine.device, workers=1)
    state = State.load(files.state) if files.state.is_file() else None
    files.trim(state.step if state is not None else -1)

    def heed() -> Literal["go", "pause", "stop"]:
        if reporter.cancelled() or time.monotonic() > until:
            return "pause"
        wish = files.wished()
        return "stop" if wish == "stop" else "pause" if wish == "pause" else "go"

    with Session(spec, engine, evaluator, tasks, learned_in(Path(payload["learned"])), state) as session:
        diary = Diary(files, spec, engine, evaluator, tasks, fresh=state is None)
        for event in session.events(heed):
            if isinstance(event, Progress):
                reporter.progress(event.step / max(1, event.steps), event.phase.lower())
                diary.progress(event)
            elif isinstance(event, Checked):
                diary.checked(event)
                _stand(files, session.state)
            elif isinstance(event, Paused):
                _stand(files, session.state)
                return {"name": payload["title"], "step": event.step, "finished": False}
            elif isinstance(event, Finished):
                diary.finished(event)
                files.state.unlink(missing_ok=True)
                return {"name": payload["title"], "step": event.step, "finished": True}
    raise RuntimeError("a run ends with what became of it")


def _stand(files: RunFiles, state: State) -> None:
    """Put on the disk from where the run goes on."""
    state.save(files.state)
    files.write("stand", {"step": state.step})


class Diary:
    """Writes down what a run says, with what it is held against: task arithmetic on the same examples."""

    def __init__(  # noqa: PLR0913
        self,
        files: RunFiles,
        spec: LearnSpec,
        engine: LiveEngine,
        evaluator: Evaluator,
        tasks: tuple[AnyTask, ...],
        *,
        fresh: bool,
    ) -> None:
        self._files = files
        self._recipe = _task_arithmetic(spec)
        self._measure: Callable[[Literal["preview", "full"]], Report] = lambda subset: evaluator.evaluate(
            engine.plan(self._recipe).survey.reference.config,
            engine.merge(self._recipe).weights,
            tasks,
            "validation",
            subset,
        )
        self._losses: list[float] = []
        self._best: tuple[int, Report, float | None] | None = None
        head = _head(spec, engine, tasks)
        self._sizes: list[int] = head["sizes"]
        if fresh:
            files.write("head", head)
            baseline = self._measure(spec.subset)
            files.say({"kind": "baseline", **_accuracy(baseline)}, sure=True)

    def progress(self, event: Progress) -> None:
        """Write down a moment: its losses as a line, all that it shows in place of the moment before."""
        self._files.write("now", event.as_json())
        if event.loss is None:
            return
        self._losses.append(event.loss)
        few = {"coefficients": [row[0] for row in event.shown.coefficients]} if _is_short(event) else {}
        shares = {"density": self._share(event.shown.density)} if event.shown.density else {}
        line = {"kind": "moment", "step": event.step, "loss": event.loss, "losses": list(event.losses)}
        self._files.say({**line, **few, **shares})

    def _share(self, density: tuple[float, ...]) -> float:
        """Return the share of all numbers that the mask keeps."""
        return math.fsum(map(math.prod, zip(density, self._sizes, strict=True))) / sum(self._sizes)

    def checked(self, event: Checked) -> None:
        """Write down a check, with how it stands to the best one before, and by how much the loss moved since."""
        from merging_core.evaluation.report import compare

        loss = math.fsum(self._losses) / len(self._losses) if self._losses else None
        self._losses = []
        since = None
        if self._best is not None:
            step, report, before = self._best
            since = {"step": step, **_estimate(compare(event.report, report)), "loss": [before, loss]}
        if self._best is None or event.report.average >= self._best[1].average:
            self._best = (event.step, event.report, loss)
        line = {"kind": "checked", "step": event.step, "best": event.best, **_accuracy(event.report)}
        self._files.say({**line, "since": since, "loss": loss}, sure=True)

    def finished(self, event: Finished) -> None:
        """Write down what became of it: start and end on all of validation, and their paired differences."""
        from merging_core.evaluation.report import compare

        baseline = self._measure("full")
        self._files.write(
            "result",
            {
                **event.as_json(),
                "gain": _estimate(compare(event.after, event.before)),
                "baseline": baseline.as_json(),
                "over_baseline": _estimate(compare(event.after, baseline)),
            },
        )


def _head(spec: LearnSpec, engine: LiveEngine, tasks: tuple[AnyTask, ...]) -> dict[str, Any]:
    """Return what the charts need to know once: the leaves by depth, and the tasks in order."""
    from merging_core.engines.layer_stats import label_of

    space = engine.plan(spec.recipe()).space
    several = len({leaf.depth.stack for leaf in space.leaves if leaf.depth.index is not None}) > 1
    return {
        "leaves": [leaf.name for leaf in space.leaves],
        "sizes": [leaf.stop - leaf.start for leaf in space.leaves],
        "depths": [label_of(leaf.depth, several) for leaf in space.leaves],
        "order": sorted(range(len(space.leaves)), key=lambda place: (*space.leaves[place].depth.order, place)),
        "tasks": [{"task": task.name, "title": task.title} for task in tasks],
    }


def _task_arithmetic(spec: LearnSpec) -> Recipe:
    """Return what every run is held against: the same experts, added up as they are."""
    from merging_core.recipes import parse_recipe

    models = [{"ref": ref} for ref in spec.models]
    return parse_recipe({"version": 1, "base": spec.base, "models": models, "method": {"name": "task_arithmetic"}})


def _is_short(event: Progress) -> bool:
    return bool(event.shown.coefficients) and len(event.shown.coefficients[0]) == 1


def _accuracy(report: Report) -> dict[str, Any]:
    tasks = [{"task": one.task, "accuracy": one.accuracy, "interval": list(one.interval)} for one in report.tasks]
    return {"average": report.average, "interval": list(report.average_interval), "n": report.n, "tasks": tasks}


def _estimate(difference: Comparison) -> dict[str, Any]:
    return {"difference": difference.average.value, "interval": list(difference.average.interval)}
