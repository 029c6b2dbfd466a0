"""Uploaded checkpoints are merged, measured and exported as others are; elsewhere they are said to be elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.export.planning import Planner
from app.export.work import export
from app.ledger import Ledger
from app.live import Scheduler
from app.models.service import Models
from app.settings import Settings
from app.state import StudioState, parse_state
from app.studio.bench import ZooBench
from app.uploads.intake import Intake
from app.uploads.shelf import UploadLimits, Uploads
from merging_core.errors import CheckpointError

ZOO = Path(__file__).resolve().parents[3] / "assets" / "zoo"


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploads]:
    made = Uploads(tmp_path_factory.mktemp("data"), UploadLimits(10**8, 10**9, 10**9))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bench(uploads: Uploads) -> ZooBench:
    return ZooBench(settings(), uploads=uploads.checkpoints)


def settings() -> Settings:
    return Settings.from_env({"BASIN_DEVICE": "cpu"}, make_folder=False)


def give(uploads: Uploads, name: str, *, config: bool) -> str:
    folder = ZOO / "tiny" / name
    told = (folder / "config.json").read_bytes() if config else b""
    data = (folder / "model.safetensors").read_bytes()
    with uploads.arriving("ann", len(told + data)) as place:
        intake = Intake(place.folder, "checkpoint", name, len(data), len(told))
        intake.take(told + data)
        return place.keep(intake.finish(10**8), name).ref


def opened(bench: ZooBench, uploads: Uploads, *, config: bool, tasks: list[str]) -> dict[str, Any]:
    base, digits = (give(uploads, name, config=config) for name in ("base", "digits"))
    scheduler = Scheduler()
    wanted = {"base": base, "experts": [{"ref": digits, "task": tasks[0] if tasks else None}], "tasks": tasks}
    answer: dict[str, Any] = asyncio.run(Models(bench, scheduler, uploads).check("ann", wanted))
    scheduler.close()
    return answer


def state_of(bench: ZooBench, answer: dict[str, Any]) -> StudioState:
    assert answer["ok"], answer
    return parse_state(answer["state"], bench.families)


def test_an_uploaded_pair_gives_the_numbers_of_the_same_checkpoints_of_the_zoo(
    bench: ZooBench, uploads: Uploads
) -> None:
    answer = opened(bench, uploads, config=True, tasks=["tiny/digits"])
    state = state_of(bench, answer)
    recipe = {**answer["state"]["recipe"], "base": "zoo:tiny/base", "models": [{"ref": "zoo:tiny/digits"}]}
    twin = parse_state({**answer["state"], "family": "tiny", "recipe": recipe}, bench.families)
    ours = bench.accuracy(state, "validation", "preview", never)
    theirs = bench.accuracy(twin, "validation", "preview", never)
    assert (ours.correct["tiny/digits"] == theirs.correct["tiny/digits"]).all()
    assert bench.layers(state)["experts"][0]["title"] == "digits"


def test_without_a_configuration_there_are_layers_and_exports_but_no_task(
    bench: ZooBench, uploads: Uploads, tmp_path: Path
) -> None:
    refused = opened(bench, uploads, config=False, tasks=["tiny/digits"])
    assert not refused["ok"] and "config" in refused["problems"][0]["sentence"]
    state = state_of(bench, opened(bench, uploads, config=False, tasks=[]))
    assert bench.layers(state)["experts"]
    ledger = Ledger(None)
    planner = Planner(bench, ledger, ZOO, None, tmp_path, 10**9, uploads.root)
    payload = planner.payload("ann", state, planner.plan(state, None)[0], None, never)

    class Quiet:
        cancelled = staticmethod(never)

        def log(self, text: str) -> None: ...
        def progress(self, share: float, what: str, done: int = 0, standing: Any = None) -> None: ...

    quiet: Any = Quiet()
    export(payload, tmp_path, quiet)
    assert (tmp_path / "result" / "model.safetensors").is_file()
    assert not (tmp_path / "result" / "config.json").exists()
    ledger.close()


def test_a_link_to_an_upload_says_on_another_server_where_it_is(bench: ZooBench, uploads: Uploads) -> None:
    answer = opened(bench, uploads, config=True, tasks=[])
    elsewhere = Uploads(None, uploads.limits)
    other = ZooBench(settings(), uploads=elsewhere.checkpoints)
    state = parse_state(answer["state"], other.families)
    with pytest.raises(CheckpointError, match="upload:base: what was uploaded is on this server.*another server"):
        other.layers(state)
    with pytest.raises(CheckpointError, match="uploads are kept here"):
        ZooBench(settings()).layers(state)
    elsewhere.close()
