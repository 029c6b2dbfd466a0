"""How much may lie where, for how long, and what stays while somebody needs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.live import BusyError
from app.uploads.intake import Intake
from app.uploads.problems import NoRoomError, TooLargeError, UploadError, disk_problem
from app.uploads.shelf import Upload, UploadLimits, Uploads, plain_name
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import CheckpointError
from tests.checkpoints.build import entry, packed

LIMITS = UploadLimits(file=1000, visitor=2000, total=3000, seconds=3600.0, at_once=1, arriving=2)


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def used() -> set[str]:
    return set()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock, used: set[str]) -> Iterator[Uploads]:
    made = Uploads(tmp_path, LIMITS, used=lambda: frozenset(used), now=clock)
    yield made
    made.close()


def weights(value: int = 0) -> bytes:
    return packed({"a": entry("U8", [500], 0, 500)}, bytes([value]) * 500)


def give(uploads: Uploads, visitor: str, data: bytes, name: str = "mine") -> Upload:
    with uploads.arriving(visitor, len(data)) as place:
        intake = Intake(place.folder, "checkpoint", name, len(data))
        intake.take(data)
        return place.keep(intake.finish(LIMITS.file), name)


def test_each_limit_is_said_before_anything_comes(uploads: Uploads) -> None:
    with pytest.raises(TooLargeError, match="an upload has at most 1.0 kB"):
        uploads.check("ann", 1001)
    for value in range(3):
        give(uploads, "ann", weights(value))
    with pytest.raises(TooLargeError, match="your uploads have at most 2.0 kB.*delete one"):
        uploads.check("ann", 900)
    with pytest.raises(NoRoomError, match="all uploads on this server"):
        give(uploads, "bob", weights(7))
        give(uploads, "bob", weights(8))
        uploads.check("eve", 900)


def test_what_arrives_counts_already(uploads: Uploads) -> None:
    with uploads.arriving("ann", 900):
        with pytest.raises(BusyError):
            uploads.check("ann", 10)
        with uploads.arriving("bob", 900), pytest.raises(BusyError):
            uploads.check("eve", 10)
    uploads.check("ann", 10)


def test_a_disk_that_is_too_small_is_said(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 500

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(NoRoomError, match="the server's disk has 990 B free, but 500 B free came"):
        uploads.check("ann", 900)


def test_a_full_disk_is_a_sentence_without_a_path() -> None:
    error = OSError(28, "No space left on device", "/somewhere/secret")
    assert "a full disk" in str(disk_problem(error)) and "secret" not in str(disk_problem(error))


def test_an_upload_outlives_a_restart_and_half_of_one_does_not(tmp_path: Path, uploads: Uploads, clock: Clock) -> None:
    kept = give(uploads, "ann", weights())
    (uploads.root / ".arriving-0123").mkdir()
    (uploads.root / ("ab" * 16)).mkdir()
    uploads.close()
    again = Uploads(tmp_path, LIMITS, now=clock)
    assert again.of("ann") == (kept,)
    assert {path.name for path in again.root.iterdir()} == {".lock", kept.ref[7:39]}
    again.close()


def test_two_servers_never_work_in_one_folder(tmp_path: Path, uploads: Uploads) -> None:
    give(uploads, "ann", weights())
    other = Uploads(tmp_path, LIMITS)
    assert other.of("ann") == () and other.root != uploads.root
    place = other.root
    other.close()
    assert not place.exists() and uploads.root.exists()


def test_an_upload_goes_when_it_is_too_old_for_all_who_gave_it(uploads: Uploads, clock: Clock) -> None:
    kept = give(uploads, "ann", weights())
    assert kept.expires == "2026-01-01T01:00:00Z"
    clock.time += timedelta(minutes=50)
    give(uploads, "bob", weights(), "other")
    clock.time += timedelta(minutes=20)
    assert uploads.of("ann") == () and [upload.name for upload in uploads.of("bob")] == ["other"]
    assert uploads.checkpoints.open(parse_ref(kept.ref)).leaves
    clock.time += timedelta(hours=1)
    assert uploads.of("bob") == ()
    with pytest.raises(CheckpointError, match="uploaded on another server"):
        uploads.checkpoints.open(parse_ref(kept.ref))


def test_what_a_job_needs_is_neither_deleted_nor_too_old(uploads: Uploads, clock: Clock, used: set[str]) -> None:
    kept = give(uploads, "ann", weights())
    used.add(f"{kept.ref}@{'0' * 64}")
    clock.time += timedelta(days=2)
    with pytest.raises(BusyError, match="not in use"):
        uploads.delete("ann", kept.ref)
    assert len(uploads.of("ann")) == 1
    used.clear()
    assert uploads.of("ann") == ()


def test_data_of_no_address_are_said_to_be_elsewhere(uploads: Uploads) -> None:
    with pytest.raises(UploadError, match="uploaded on another server"):
        uploads.data(f"upload:{'ab' * 32}")
    for wrong in ("upload:../secret", "", "upload:" + "AB" * 32):
        with pytest.raises(UploadError, match="named by its digits"):
            uploads.data(wrong)
    weights_only = give(uploads, "ann", weights()).ref
    with pytest.raises(UploadError, match="the data are on this server"):
        uploads.data(weights_only)


def test_a_name_from_outside_is_made_plain() -> None:
    for name, plain in (
        ("digits.safetensors", "digits"),
        ("C:\\models\\a b.safetensors", "a-b"),
        ("../../etc/passwd", "passwd"),
        ("<img src=x onerror=1>", "img-src-x-onerror-1"),
        (".." * 20, "upload"),
        ("x" * 300, "x" * 40),
    ):
        assert plain_name(name) == plain
        assert parse_ref(f"upload:{'0' * 32}/{plain}").label == f"upload:{plain}"
