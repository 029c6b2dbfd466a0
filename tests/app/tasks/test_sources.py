"""Tasks of data that lie on the server: its own folders, and what visitors uploaded; pictures and texts."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.callers import Callers, called_by
from app.endpoints.service import Endpoints
from app.export.planning import Planner
from app.export.work import export
from app.hub.admission import Admission
from app.ledger import Ledger
from app.live import BusyError, Scheduler
from app.state import StudioState, parse_state
from app.studio.service import Studio
from app.tasks.spec import parse_spec
from merging_core.errors import EvaluationError
from tests.app.tasks.places import ANN, BEN, Place, ended, opened
from tests.evaluation.models import write_tokenizer
from tests.evaluation.test_clip_benchmark import write_benchmark
from tests.evaluation.test_picture_tasks import CLASSES, class_folders, labels_of, tile, write_shard
from tests.evaluation.test_text_tasks import TEXTS, model_of

MOODS = ("calm", "glad", "sad")


def texts(n: int = 60) -> str:
    rows = [f"{TEXTS[index % len(TEXTS)]} {index % 7},{MOODS[index % 3]}" for index in range(n)]
    return "\n".join(["text,label", *rows])


def table(n: int = 20) -> str:
    return "\n".join(["path,label", *(f"{name}/{index:03}.png,{name}" for name in CLASSES for index in range(n))])


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def pictures(n: int = 20) -> dict[str, bytes]:
    return {f"{name}/{index:03}.png": tile(label, index) for label, name in enumerate(CLASSES) for index in range(n)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_benchmark(folder)
    for seed, name in enumerate(("mood", "other")):
        model_of("Bert", folder / name, seed=seed)
        write_tokenizer(folder / name)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies below the folder of the server's own data."""
    folder = tmp_path_factory.mktemp("data")
    class_folders(folder / "pets", 20)
    class_folders(folder / "listed", 20)
    (folder / "listed" / "labels.csv").write_text(table())
    (folder / "moods.csv").write_text(texts())
    write_shard(folder / "shard.parquet", labels_of(60))
    return folder


@pytest.fixture(scope="module")
def place(models: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with opened(tmp_path_factory.mktemp("server"), models, data=data) as made:
        yield made


def state_of(place: Place, spec: dict[str, Any], base: str, expert: str) -> StudioState:
    """Have a task prepared, and open a merge that is measured on it."""
    job = place.prepared(ANN, spec)["job"]
    assert job.state == "done", job.problems
    name = parse_spec(spec).name
    experts = [{"ref": expert, "task": name}]
    answer = place.ask(ANN, "models_check", {"base": base, "experts": experts, "tasks": [name], "specs": [spec]})
    assert answer["ok"], answer
    return parse_state(answer["state"], place.bench.families)


def measured(place: Place, spec: dict[str, Any], base: str, expert: str) -> dict[str, Any]:
    """Measure a merge on a task."""
    state = state_of(place, spec, base, expert)
    with called_by(ANN):
        numbers = place.bench.accuracy(state, "validation", "full", lambda: False).numbers
    (found,) = numbers["tasks"]
    assert found["n"] > 0 and len(found["interval"]) == 2
    return dict(found)


@pytest.mark.parametrize("name", ["pets", "listed", "shard.parquet"])
def test_pictures_in_a_folder_of_the_server_become_a_task(place: Place, name: str) -> None:
    seen = place.ask(ANN, "task_look", {"source": f"local:{name}"})
    assert seen["ok"], seen
    assert (seen["classes"], seen["proposed"]["kind"]) == (list(CLASSES), "pictures")
    assert [row["rows"] for row in seen["splits"]] == [60]
    spec = {"source": seen["source"], "head": "zero_shot", "model": "local:clip", "at_most": 20}
    assert measured(place, spec, "local:base", "local:one")["n"] >= 9


@pytest.mark.parametrize("form", ["folders", "table", "wrapped"])
def test_an_uploaded_archive_becomes_a_task(place: Place, form: str) -> None:
    files = pictures() if form == "folders" else {**pictures(), "labels.csv": table().encode()}
    inside = {f"mine/{name}": one for name, one in files.items()} if form == "wrapped" else files
    source = place.given(ANN, "pets.zip", zipped(inside))
    rows = place.ask(ANN, "tasks_list", {})["uploads"]
    assert {"source": source, "name": "pets.zip"} in rows
    assert source not in str(place.ask(BEN, "tasks_list", {})["uploads"])
    seen = place.ask(ANN, "task_look", {"source": f"{source}/pets"})
    assert seen["ok"], seen
    assert (seen["source"], seen["title"], seen["classes"]) == (source, "pets.zip", list(CLASSES))
    spec = {"source": source, "head": "zero_shot", "model": "local:clip", "at_most": 20}
    assert measured(place, spec, "local:base", "local:one")["n"] >= 9


@pytest.mark.parametrize("where", ["local", "upload"])
def test_texts_are_measured_with_the_classifier_of_an_expert(place: Place, where: str) -> None:
    source = "local:moods.csv" if where == "local" else place.given(ANN, "moods.csv", texts(66).encode())
    seen = place.ask(ANN, "task_look", {"source": source, "model": "local:mood"})
    assert seen["proposed"] == {"kind": "texts", "input": "text", "second": None, "label": "label"}
    spec = {"source": source, "kind": "texts", "head": "own", "model": "local:mood", "at_most": 20}
    assert measured(place, spec, "local:mood", "local:other")["n"] >= 9


def test_a_table_of_paths_alone_is_said_to_want_its_pictures(place: Place) -> None:
    answer = place.ask(ANN, "task_look", {"source": place.given(ANN, "labels.csv", table().encode())})
    (problem,) = answer["problems"]
    assert "pictures lie beside the table that names them" in problem["sentence"]


def test_what_was_prepared_goes_with_the_upload_when_its_last_visitor_deletes_it(place: Place) -> None:
    data = zipped(pictures(21))
    source = place.given(ANN, "pets.zip", data)
    assert place.given(BEN, "mine.zip", data) == source
    spec = {"source": source, "head": "zero_shot", "model": "local:clip", "at_most": 20}
    state = state_of(place, spec, "local:base", "local:one")

    def measure() -> int:
        with called_by(ANN):
            numbers = place.bench.accuracy(state, "validation", "full", lambda: False).numbers
        return int(numbers["n"])

    def listed() -> bool:
        return parse_spec(spec).name in [row["name"] for row in place.ask(ANN, "tasks_list", {})["tasks"]]

    assert measure() > 0 and listed()
    place.uploads.delete(ANN.visitor, source)
    assert measure() > 0 and not listed()
    place.uploads.delete(BEN.visitor, source)
    assert not (place.bench.shelf.root / parse_spec(spec).digest).exists()
    with pytest.raises(EvaluationError, match="upload what it is made of again, and prepare it under Choose models"):
        measure()
    for name, message in (("task_look", {"source": source}), ("task_prepare", {"spec": {**spec, "seed": 1}})):
        (problem,) = place.ask(BEN, name, message)["problems"]
        assert "the data are on this server" in problem["sentence"] and "another server" in problem["sentence"]


def test_an_upload_stays_while_its_task_is_being_prepared(place: Place) -> None:
    source = place.given(BEN, "many.zip", zipped(pictures(300)))
    spec = {"source": source, "head": "zero_shot", "model": "local:clip", "at_most": 300}
    job = place.ask(BEN, "task_prepare", {"spec": spec})["job"]
    with pytest.raises(BusyError, match="one that a job needs"):
        place.uploads.delete(BEN.visitor, source)
    place.jobs.cancel(BEN.visitor, job["id"])
    assert ended(place, BEN, job["id"]).state == "cancelled"
    root = place.bench.shelf.root
    assert not (root / parse_spec(spec).digest).exists() and not list(root.glob(".*-*"))
    place.uploads.delete(BEN.visitor, source)


def test_only_checkpoints_that_hold_a_head_are_proposed_for_it(place: Place) -> None:
    models = ["zoo:tiny/base", "local:base", "local:clip#vision", "local:clip", "local:mood", "local:gone"]
    heads = {
        name: place.ask(ANN, "task_look", {"source": f"local:{name}", "models": models})["heads"]
        for name in ("pets", "moods.csv")
    }
    assert heads["pets"] == {"zero_shot": ["local:clip"], "own": []}
    assert heads["moods.csv"] == {"zero_shot": [], "own": ["local:mood"]}


def test_what_would_not_fit_the_disk_is_refused_with_numbers_before_a_job_begins(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.desk._places, "budget", 10_000)
    spec = {"source": "local:pets", "head": "zero_shot", "model": "local:clip", "at_most": 300}
    jobs = len(place.jobs.of(ANN.visitor))
    (problem,) = place.ask(ANN, "task_prepare", {"spec": spec})["problems"]
    assert len(place.jobs.of(ANN.visitor)) == jobs
    said = r"prepared tasks take at most 10.0 kB \(BASIN_TASKS_GB\), but [\d.]+ kB for 60 pictures of (\d+) × \1 came"
    assert re.search(said, problem["sentence"]) and "take fewer examples" in problem["sentence"]


def test_a_job_asks_for_room_before_it_decodes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.desk._places, "budget", 10_000)
    monkeypatch.setattr(place.desk, "_check_room", lambda specs: None)
    job = place.prepared(ANN, {"source": "local:pets", "head": "zero_shot", "model": "local:clip", "seed": 7})["job"]
    assert job.state == "failed" and "kB for 60 pictures of" in job.problems[0]["sentence"]


MOOD = {"source": "local:moods.csv", "kind": "texts", "head": "own", "model": "local:mood", "at_most": 20}


def test_an_export_s_card_has_the_numbers_of_a_prepared_task(place: Place, models: Path, tmp_path: Path) -> None:
    state = state_of(place, MOOD, "local:mood", "local:other")
    ledger = Ledger(None)
    zoo = Path(__file__).resolve().parents[3] / "assets" / "zoo"
    planner = Planner(place.bench, ledger, zoo, models, tmp_path, 10**9)
    with called_by(ANN):
        payload = planner.payload("ann", state, planner.plan(state, None)[0], None, lambda: False)
    ledger.close()

    class Quiet:
        cancelled = staticmethod(lambda: False)

        def log(self, text: str) -> None: ...
        def progress(self, share: float, what: str, done: int = 0, standing: object = None) -> None: ...

    quiet: Any = Quiet()
    export(payload, tmp_path, quiet)
    (row,) = payload["results"][0]["numbers"]["tasks"]
    card = (tmp_path / "result" / "README.md").read_text()
    assert row["title"] in card and f"{row['accuracy'] * 100:.1f}" in card and "validation" in card


def test_programs_measure_on_a_prepared_task_by_its_name(place: Place) -> None:
    state = state_of(place, MOOD, "local:mood", "local:other")
    name = parse_spec(MOOD).name
    ledger, turns = Ledger(None), Scheduler()
    studio = Studio(place.bench, ledger, turns, turns, Callers(None))
    programs = Endpoints(place.bench, studio, turns, Admission(None, turns))
    recipe = state.recipe.as_json()
    with called_by(ANN):
        ours = place.bench.accuracy(state, "validation", "full", lambda: False).numbers
        found = asyncio.run(programs.evaluate("ann", recipe, "validation", "full", name))["numbers"]
        line = asyncio.run(programs.interpolate("ann", "local:mood", "local:other", 3, "full", name))
        with pytest.raises(EvaluationError, match="a task that is named alone is prepared here"):
            asyncio.run(programs.evaluate("ann", recipe, "validation", "full", "task:0123456789abcdef"))
    turns.close()
    ledger.close()
    assert [task["accuracy"] for task in found["tasks"]] == [task["accuracy"] for task in ours["tasks"]]
    assert len(line["splits"]["validation"]["points"]) == 3
