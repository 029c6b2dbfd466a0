"""Prepared tasks take no more of the disk than they may: the oldest go, never those in use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.tasks.budget import check_room, make_room, mark_used
from merging_core.errors import EvaluationError

HOUR = 3600.0
NAMES = [digit * 64 for digit in "abc"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three tasks of 100 bytes, a the oldest, and a head of 50 that is older still."""
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "one.safetensors").write_bytes(bytes(50))
    aged(tmp_path / "heads" / "one.safetensors", 9)
    for hours, name in zip((4, 3, 2), NAMES, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "task.safetensors").write_bytes(bytes(90))
        (tmp_path / name / "task.json").write_bytes(bytes(10))
        aged(tmp_path / name / "task.json", hours)
    return tmp_path


def aged(path: Path, hours: float) -> None:
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))


def left(root: Path) -> list[str]:
    return sorted(path.name[0] for path in root.iterdir() if len(path.name) == 64)


def test_nothing_goes_while_there_is_room(root: Path) -> None:
    make_room(root, 100, 450)
    assert left(root) == ["a", "b", "c"] and (root / "heads" / "one.safetensors").exists()


@pytest.mark.parametrize(("needed", "stay"), [(101, "abc"), (160, "bc"), (300, "c"), (450, "")])
def test_what_was_used_longest_ago_goes_first(root: Path, needed: int, stay: str) -> None:
    make_room(root, needed, 450)
    assert left(root) == list(stay) and not (root / "heads" / "one.safetensors").exists()


def test_what_is_in_use_or_belongs_to_the_job_stays(root: Path) -> None:
    mark_used(root / NAMES[0])
    make_room(root, 160, 450, {NAMES[1]})
    assert left(root) == ["a", "b"]


def test_what_cannot_fit_is_one_sentence_and_nothing_goes(root: Path) -> None:
    mark_used(root / NAMES[0])
    with pytest.raises(EvaluationError, match=r"tasks: prepared tasks take at most .* \(BASIN_TASKS_GB\)"):
        make_room(root, 400, 450)
    with pytest.raises(EvaluationError, match="but 400 B of pictures, beside 100 B in use came"):
        check_room(root, 400, 450, (), "400 B of pictures")
    assert left(root) == ["a", "b", "c"]


def test_what_a_killed_job_left_goes_after_a_day_and_what_is_being_written_stays(root: Path) -> None:
    old, new = (root / f".{'d' * 16}-{number:08x}" for number in range(2))
    for folder in (old, new):
        folder.mkdir()
    aged(old, 25)
    make_room(root, 0, 10**9)
    assert (old.exists(), new.exists()) == (False, True)
