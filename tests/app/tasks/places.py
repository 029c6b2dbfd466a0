"""A tiny CLIP with two experts in folders, data sets on a Hub, and what works on them as the server does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.callers import Caller, called_by
from app.hub.service import HubDesk
from app.hub.source import VisitorsHub
from app.jobs import Job, Jobs
from app.live import Scheduler
from app.models.service import Models
from app.presets.reading import FOLDER, read_presets
from app.presets.service import Presets
from app.settings import Settings
from app.studio.bench import ZooBench
from app.tasks.service import TaskDesk, TaskPlaces
from app.uploads.intake import Intake
from app.uploads.shelf import UploadLimits, Uploads
from merging_core.hub.client import Hub
from tests.evaluation.test_picture_tasks import labels_of, write_shard
from tests.hub.server import ADA, BOB

__all__ = ["ANN", "BEN", "Place", "ended", "opened", "shards"]

ANN, BEN = Caller("ann", ADA), Caller("ben", BOB)
WAIT = 240


@dataclass(frozen=True)
class Place:
    """A server without a page."""

    bench: ZooBench
    desk: TaskDesk
    picker: Models
    jobs: Jobs
    uploads: Uploads
    more: tuple[Any, ...] = ()

    def ask(self, who: Caller, name: str, message: dict[str, Any]) -> dict[str, Any]:
        """Call a function as a visitor."""
        rooms = (self.desk, self.picker, *self.more)
        functions = {name: function for room in rooms for name, function in room.functions().items()}
        with called_by(who):
            answer = functions[name](who.visitor, message)
            found: dict[str, Any] = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        return found

    def given(self, who: Caller, name: str, data: bytes) -> str:
        """Upload data as a visitor, and return what a task calls them."""
        with self.uploads.arriving(who.visitor, len(data)) as arrival:
            intake = Intake(arrival.folder, "data", name, len(data))
            intake.take(data)
            return arrival.keep(intake.finish(10**8), name).ref.partition("/")[0]

    def prepared(self, who: Caller, *specs: dict[str, Any]) -> dict[str, Any]:
        """Have tasks prepared, and wait for the end of the job."""
        return self.done(who, "task_prepare", {"specs": list(specs)})

    def done(self, who: Caller, name: str, message: dict[str, Any]) -> dict[str, Any]:
        """Start a job and wait for its end."""
        answer = self.ask(who, name, message)
        assert answer["ok"], answer
        return {**answer, "job": ended(self, who, answer["job"]["id"])}


def ended(place: Place, who: Caller, id_: str) -> Job:
    """Wait for the end of a job."""
    pause = threading.Event()
    for _ in range(WAIT * 20):
        job = place.jobs.get(who.visitor, id_)
        if job.state not in ("queued", "running"):
            return job
        pause.wait(0.05)
    raise AssertionError("the job does not end")


@contextmanager
def opened(folder: Path, models: Path | None, hub: Hub | None = None, data: Path | None = None) -> Iterator[Place]:
    """Open a server over folders of checkpoints, a Hub and a folder of data."""
    environment = {"BASIN_DEVICE": "cpu", "BASIN_DATA": str(folder / "data")}
    settings = Settings.from_env(environment | ({"BASIN_MODELS": str(models)} if models is not None else {}))
    door = VisitorsHub(hub) if hub is not None else None
    scheduler, jobs = Scheduler(), Jobs(settings.scratch)
    uploads = Uploads(settings.scratch, UploadLimits(10**8, 10**9, 10**9), used=jobs.used)
    bench = ZooBench(settings, hub=door, uploads=uploads.checkpoints)
    places = TaskPlaces(settings.zoo, settings.models, data, uploads)
    desk = TaskDesk(bench.models(), door, places, bench.families, scheduler, jobs)
    try:
        more = (
            ()
            if door is None
            else (HubDesk(door, scheduler, jobs), Presets(read_presets(FOLDER), bench.shelf, door, scheduler))
        )
        yield Place(bench, desk, Models(bench, scheduler, hub=door), jobs, uploads, more)
    finally:
        jobs.close()
        uploads.close()
        scheduler.close()


def shards(folder: Path, train: int = 90, test: int = 60) -> dict[str, bytes]:
    """Return the files of a data set of three kinds of animals."""
    files = {}
    for name, count in (("train", train), ("test", test)):
        path = folder / f"{name}.parquet"
        write_shard(path, labels_of(count), start=0 if name == "train" else 500)
        files[f"data/{name}-00000-of-00001.parquet"] = path.read_bytes()
    return files
