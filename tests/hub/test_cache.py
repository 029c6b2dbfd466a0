"""The cache of downloads: bounded, the least used goes first, and never what somebody has open."""

from __future__ import annotations

import gc
import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from merging_core.cli.main import main
from merging_core.errors import HubError
from merging_core.hub.cache import held, make_room, remove, sweep_parts
from tests.hub.conftest import Visit
from tests.hub.server import FakeHub

NAMES = ("ada/base", "ada/digits", "ada/letters")


@pytest.fixture
def full(visit: Visit) -> list[str]:
    """Three downloads; the first was used longest ago."""
    hub = visit()
    refs = [str(hub.pin(f"hub:{name}")) for name in NAMES]
    for age, ref in enumerate(reversed(refs)):
        mark = hub.download(ref) / "complete.json"
        os.utime(mark, (time.time() - 1000.0 * age - 500,) * 2)
    gc.collect()
    return refs


def names(cache: Path) -> list[str]:
    return [entry.ref for entry in held(cache)]


def test_what_was_used_longest_ago_goes_first_and_only_as_much_as_is_needed(visit: Visit, full: list[str]) -> None:
    hub = visit()
    entries = held(hub.cache)
    assert [entry.ref for entry in entries] == full and all(entry.complete for entry in entries)
    total = sum(entry.bytes for entry in entries)
    make_room(hub.cache, 10, total + 10, hub.cache)
    assert names(hub.cache) == full
    make_room(hub.cache, 10, total, hub.cache)
    assert names(hub.cache) == full[1:]


def test_opening_is_using(visit: Visit, full: list[str]) -> None:
    hub = visit()
    hub.open(full[0])
    gc.collect()
    assert names(hub.cache) == [*full[1:], full[0]]


def test_what_is_open_or_being_downloaded_stays(visit: Visit, full: list[str]) -> None:
    hub = visit()
    opened = hub.open(full[1])
    lock = FileLock(held(hub.cache)[0].folder / ".lock")
    with lock, pytest.raises(HubError, match=r"GB free of its 0 GB \(BASIN_CACHE_GB\).*in use"):
        make_room(hub.cache, 10, 10, hub.cache)
    assert set(names(hub.cache)) == set(full[:2])
    assert opened.read("layers.0.bias").shape == (3,)
    with pytest.raises(HubError, match="not in use"):
        remove(hub.cache, full[1])
    del opened
    gc.collect()
    assert remove(hub.cache, full[1]).ref == full[1]
    make_room(hub.cache, 10, 10, hub.cache)
    assert names(hub.cache) == []


def test_a_download_makes_room_for_itself_and_says_when_it_cannot(fake: FakeHub, visit: Visit, full: list[str]) -> None:
    size = max(entry.bytes for entry in held(visit().cache))
    hub = visit(budget=3 * size)
    fake.add("ada/more", {"model.safetensors": fake_weights(), "config.json": b"{}"})
    ref = str(hub.pin("hub:ada/more"))
    hub.download(ref)
    assert full[0] not in names(hub.cache) and ref in names(hub.cache)
    assert hub.missing_bytes(full[0]) > 0
    with pytest.raises(HubError, match="choose smaller models, or make the cache larger"):
        visit(budget=1).download(full[0])


def fake_weights() -> bytes:
    from safetensors.torch import save

    from tests.hub.conftest import weights

    return save(weights(2.0))


def test_parts_that_nobody_went_on_with_for_a_week_go(visit: Visit, full: list[str]) -> None:
    hub = visit()
    folder = held(hub.cache)[0].folder
    old, fresh = folder / "old.part", folder / "fresh.part"
    for part, age in ((old, 8), (fresh, 1)):
        part.write_bytes(b"half")
        os.utime(part, (time.time() - age * 24 * 3600,) * 2)
    with FileLock(folder / ".lock"):
        sweep_parts(hub.cache)
        assert old.exists()
    sweep_parts(hub.cache)
    assert not old.exists() and fresh.exists() and names(hub.cache) == full


def test_what_was_never_finished_stays_while_a_job_may_go_on_with_it(visit: Visit, full: list[str]) -> None:
    hub = visit()
    folder = held(hub.cache)[0].folder
    (folder / "complete.json").unlink()
    with pytest.raises(HubError):
        make_room(hub.cache, 10, 10, hub.cache)
    assert names(hub.cache) == full[:1]
    for path in folder.iterdir():
        os.utime(path, (time.time() - 24 * 3600,) * 2)
    make_room(hub.cache, 10, 10, hub.cache)
    assert names(hub.cache) == []


def test_the_command_line_lists_and_removes(
    visit: Visit, full: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (visit().cache.parent / "hub").symlink_to(visit().cache)
    monkeypatch.setenv("BASIN_CACHE", str(visit().cache.parent))
    assert main(["hub", "cache"]) == 0
    listed = capsys.readouterr().out
    assert all(ref in listed for ref in full)
    assert main(["hub", "cache", "--remove", full[0], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["ref"] for entry in document["downloads"]] == full[1:] and document["removed"]["ref"] == full[0]
    assert main(["hub", "cache", "--remove", full[0]]) == 2
    assert "the cache holds what is removed" in capsys.readouterr().err
    monkeypatch.setenv("BASIN_CACHE_GB", "much")
    assert main(["hub", "cache"]) == 2
    assert "BASIN_CACHE_GB is a whole number" in capsys.readouterr().err
