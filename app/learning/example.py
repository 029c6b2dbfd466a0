"""A run that was recorded on the zoo, for whoever has none yet: `python -m app.learning.example` records it again.

It is data: numbers that were said then, drawn as any run's are. The page says that it is an example.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from app.charts import learning as learning_charts
from app.learning.numbers import numbers_of

__all__ = ["PATH", "SPEC", "example", "record"]

PATH = Path(__file__).resolve().parents[2] / "assets" / "learning" / "adamerging.json"
"""Where it lies."""
SPEC: dict[str, Any] = {"method": {"name": "adamerging"}, "steps": 200, "check": {"subset": "full"}}
"""What was learned, on the state that the studio opens with."""
_DIGITS = 5


@cache
def example() -> dict[str, Any] | None:
    """Return the recorded run with its numbers, charts and result; nothing where there is none."""
    try:
        told = json.loads(PATH.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    numbers = numbers_of(told["head"], told["lines"], told["now"], told["about"])
    figures = learning_charts.figures_of(numbers)
    return {"title": told["title"], "numbers": numbers, "figures": figures, "result": told["result"]}


def record() -> None:
    """Run `SPEC` on the zoo as a job would, and write down what it said."""
    from app.jobs import Jobs
    from app.learned import LearnedShelf
    from app.learning import work
    from app.learning.service import Learning
    from app.learning.shelf import Runs
    from app.live import Scheduler
    from app.settings import Settings
    from app.state import default_state
    from app.studio.bench import ZooBench

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_DATA": folder})
        learned = LearnedShelf(settings.data)
        bench, errands, jobs = ZooBench(settings, learned=learned), Scheduler(), Jobs(settings.scratch)
        runs = Runs(settings.scratch, learned)
        learning = Learning(bench, bench.models(), errands, jobs, runs, settings)
        state = default_state(bench.families[0])
        run, payload = learning.prepared("example", state, SPEC)
        work.learn(payload, runs.files(run).folder, _Quiet())  # type: ignore[arg-type]
        files = runs.files(run)
        result = {key: value for key, value in (files.read("result") or {}).items() if key not in ("recipe", "hash")}
        told = {
            "title": run.title,
            "pins": bench.pins(state),
            "about": learning.about(run),
            "head": files.read("head"),
            "lines": list(files.said()),
            "now": files.read("now"),
            "result": result,
        }
        PATH.write_text(json.dumps(_short(told), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        for room in (errands, jobs, runs):
            room.close()


class _Quiet:
    """Stands in for the reporter of a job."""

    def progress(self, share: float, what: str) -> None:
        print(f"\r{100 * share:.0f} % {what}", end="", file=sys.stderr)

    def cancelled(self) -> bool:
        return False


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


if __name__ == "__main__":
    record()
