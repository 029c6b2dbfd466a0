"""The work of a run, in its own process: go through its events, write what the page draws, keep where it stands."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.learning.files import RunFiles
from app.worker import Reporter

if TYPE_CHECKING:
    from merging_core.learning import State

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
    from app.learning.diary import Diary
    from app.tasks.named import tasks_named
    from merging_core.engines import LiveEngine
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.learning import Bench, Checked, Ended, Paused, Progress, State, open_run, parse_spec

    until = time.monotonic() + payload["seconds"] - _SPARE
    files = RunFiles(Path(payload["run"]))
    spec = parse_spec(payload["spec"])
    names = ("models", "uploads", "hub_cache", "learned")
    catalog = held_catalog(payload["zoo"], **{name: payload[name] for name in names})
    tasks = tasks_named(catalog.zoo, Path(payload["tasks_root"]), spec.tasks, payload["specs"])
    engine = LiveEngine(catalog, payload["device"], payload["memory"])
    shutil.rmtree(files.expert, ignore_errors=True)
    store, evaluator = learned_in(Path(payload["learned"])), Evaluator(engine.device, workers=1)
    bench = Bench(engine, evaluator, tasks, store, files.expert)
    state = State.load(files.state) if files.state.is_file() else None
    files.trim(state.step if state is not None else -1)

    def heed() -> Literal["go", "pause", "stop"]:
        if reporter.cancelled() or time.monotonic() > until:
            return "pause"
        wish = files.wished()
        return "stop" if wish == "stop" else "pause" if wish == "pause" else "go"

    with open_run(spec, bench, state) as run:
        diary = Diary(files, spec, bench)
        for event in run.events(heed):
            if isinstance(event, Progress):
                reporter.progress(event.step / max(1, event.steps), event.phase.lower())
                diary.progress(event)
            elif isinstance(event, Checked):
                diary.checked(event)
                _stand(files, run.state)
            elif isinstance(event, Paused):
                _stand(files, run.state)
                return {"name": payload["title"], "step": event.step, "finished": False}
            elif isinstance(event, Ended):
                diary.ended(event)
                files.state.unlink(missing_ok=True)
                return {"name": payload["title"], "step": event.step, "finished": True}
    raise RuntimeError("a run ends with what became of it")


def _stand(files: RunFiles, state: State) -> None:
    """Put on the disk from where the run goes on."""
    state.save(files.state)
    files.write("stand", {"step": state.step})
