"""What a Space sets decides where things are kept, what visitors may ask for, and what is offered beside the page."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from app import settings as settings_module
from app.ledger import Ledger
from app.main import create_app
from app.settings import Settings, SettingsError
from app.space import files_of_space
from tests.app.pretend import PretendBench, PretendServer
from tests.app.wire import Browser, sentences

SPACE = {"SPACE_ID": "ann/basin", "SYSTEM": "spaces", "SPACE_HOST": "ann-basin.hf.space"}


def mounted(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let this folder be where a bucket is mounted."""
    monkeypatch.setattr(settings_module, "_MOUNT", folder)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder)


@pytest.mark.parametrize("told", [{"SPACE_ID": "ann/basin"}, {"SYSTEM": "spaces"}])
def test_either_variable_says_that_it_is_a_space(tmp_path: Path, told: dict[str, str]) -> None:
    assert Settings.from_env({**told, "BASIN_DATA": str(tmp_path)}).space


def test_the_disk_of_a_space_is_no_place_to_keep_things(tmp_path: Path) -> None:
    settings = Settings.from_env({**SPACE, "HOME": str(tmp_path)})
    assert (settings.data, settings.shared_disk, settings.scratch) == (None, False, None)
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_mounted_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(monkeypatch, tmp_path)
    settings = Settings.from_env(SPACE)
    assert (settings.data, settings.shared_disk, settings.scratch) == (tmp_path / "basin", True, None)
    assert Settings.from_env(SPACE).secret == settings.secret


def test_a_mount_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "basin").write_text("in the way")
    mounted(monkeypatch, tmp_path)
    assert Settings.from_env(SPACE).data is None


def test_a_folder_that_is_named_is_used_wherever_it_is(tmp_path: Path) -> None:
    on_a_space = Settings.from_env({**SPACE, "BASIN_DATA": str(tmp_path)})
    assert (on_a_space.data, on_a_space.shared_disk) == (tmp_path, True)
    at_home = Settings.from_env({"BASIN_DATA": str(tmp_path), "BASIN_SHARED_DISK": "1"})
    assert (at_home.shared_disk, at_home.scratch) == (True, None)
    assert Settings.from_env({"BASIN_DATA": str(tmp_path)}).scratch == tmp_path


def test_records_on_a_mount_need_no_locks_and_no_shared_memory(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, shared_disk=True)
    mode = [ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "locking_mode")]
    ledger.score("ann", "hash", "evaluation", ["digits"], {"average": 0.5})
    assert mode == ["delete", "exclusive"]
    assert {path.name for path in tmp_path.iterdir()} <= {"ledger.sqlite", "ledger.sqlite-journal"}
    ledger.close()
    again = Ledger(tmp_path, shared_disk=True)
    assert again.scores_taken("ann", ["digits"]) == 1
    again.close()


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_the_page_says_where_things_are_kept(tmp_path: Path, kind: str) -> None:
    server = PretendServer(tmp_path, **({"data": None} if kind == "memory" else {"shared_disk": True}))
    try:
        with Browser(server.url) as browser:
            said = browser.call("hello", {"link": None})
        assert said["description"]["storage"] == kind
        assert ("until the server stops" in said.get("notice", "")) is (kind == "memory")
    finally:
        server.stop()


def test_strangers_get_less_than_somebody_at_home(tmp_path: Path) -> None:
    at_home = Settings.from_env({"BASIN_DATA": str(tmp_path)}).allowance
    shared = Settings.from_env({**SPACE, "BASIN_DATA": str(tmp_path)}).allowance
    assert (shared.model_bytes, shared.export_bytes, shared.jobs, shared.seconds) == (2e9, 2e9, 1, 1200.0)
    assert shared.model_bytes < at_home.model_bytes and shared.export_bytes < at_home.export_bytes
    assert (shared.upload_bytes, at_home.upload_bytes) == (5e8, 4e9)
    assert shared.jobs < at_home.jobs and shared.seconds < at_home.seconds


def test_what_a_visitor_may_ask_for_can_be_set(tmp_path: Path) -> None:
    names = ("MODEL_MB", "EXPORT_MB", "JOBS", "MINUTES", "UPLOAD_MB")
    given = {f"BASIN_MOST_{name}": str(3 + place) for place, name in enumerate(names)}
    found = Settings.from_env({**SPACE, **given, "BASIN_DATA": str(tmp_path)}).allowance
    assert (found.model_bytes, found.export_bytes, found.jobs, found.seconds) == (3e6, 4e6, 5, 360.0)
    assert found.upload_bytes == 7e6
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: "none" for name in given} | {"BASIN_SHARED_DISK": "yes"})
    assert {problem.where for problem in caught.value.problems} == {*given, "BASIN_SHARED_DISK"}


def test_an_export_that_is_larger_than_is_allowed_is_refused_in_its_plan(tmp_path: Path) -> None:
    allowance = Settings.from_env({"BASIN_DATA": str(tmp_path)}).allowance
    server = PretendServer(tmp_path, allowance=replace(allowance, export_bytes=1_000_000))
    try:
        with Browser(server.url) as browser:
            message = {"state": browser.state(), "shard_bytes": None}
            told = browser.call("export_plan", message)["plan"]["problems"]
            refused = sentences(browser.call("export_start", message))
        assert "an export has at most 1.0 MB" in refused[0]
        assert [problem["sentence"] for problem in told] == refused
    finally:
        server.stop()


def test_jobs_are_as_many_and_as_long_as_is_allowed(tmp_path: Path) -> None:
    environment = {**SPACE, "BASIN_DATA": str(tmp_path), "BASIN_MOST_JOBS": "3", "BASIN_MOST_MINUTES": "7"}

    async def build() -> tuple[int, float, float | None]:
        app = create_app(Settings.from_env(environment), PretendBench())
        app.release()
        return app.jobs.limits.unfinished, app.jobs.limits.seconds, app.uploads.limits.seconds

    assert asyncio.run(build()) == (3, 420.0, 24 * 3600.0)


@pytest.mark.parametrize(
    ("variable", "package", "advice"),
    [("BASIN_MCP", "mcp", 'pip install "gradio[mcp]"'), ("BASIN_ZERO_GPU", "spaces", "pip install spaces")],
)
def test_what_needs_another_package_says_which(
    variable: str, package: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else there(name))
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"BASIN_DATA": str(tmp_path), variable: "1"})
    assert advice in str(caught.value)
    assert not Settings.from_env({"BASIN_DATA": str(tmp_path), variable: "0"}).mcp


def test_a_share_link_of_a_space_names_its_public_address(tmp_path: Path) -> None:
    assert Settings.from_env({**SPACE, "BASIN_DATA": str(tmp_path)}).address == "https://ann-basin.hf.space"
    assert Settings.from_env({"SPACE_HOST": "elsewhere", "BASIN_DATA": str(tmp_path)}).address == ""


def test_the_page_about_running_it_lists_every_setting() -> None:
    root = Path(__file__).resolve().parents[2]
    core = root / "merging_core"
    readers = (
        root / "app" / "settings.py",
        core / "cli" / "environment.py",
        core / "caches.py",
        core / "native" / "library.py",
    )
    read = {name for path in readers for name in re.findall(r'"(BASIN_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    rows = re.findall(r"^\| `(\w+)` \|", (root / "docs" / "deploy.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name in rows if name.startswith("BASIN_")} == read


def test_a_container_holds_what_a_space_holds() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()]
    needed = [name for name in files_of_space() if name != "README.md"]
    assert [name for name in needed if not any(name == one or name.startswith(f"{one}/") for one in copied)] == []
    kept = re.findall(r"^!(.*)$", (root / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name.partition("/")[0] for name in copied} == set(kept)
