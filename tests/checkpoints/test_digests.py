"""A digest is computed once for a file that stays as it is, and again for one that does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints.digests import Digests
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref


def opened(path: Path, digests: Digests | None) -> Checkpoint:
    return open_checkpoint(path, Ref("file", str(path)), digests=digests)


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    (tmp_path / "kept").mkdir()
    return Digests(lambda: tmp_path / "kept")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60.0)


def kept_in(digests: Digests) -> list[Path]:
    folder = digests.place()
    return list(folder.iterdir()) if folder is not None else []


def written(path: Path, value: float) -> Path:
    save_file({"w": torch.full((8,), value), "b": torch.zeros(2)}, path)
    return path


def never(self: Checkpoint) -> str:
    raise AssertionError("the file was hashed again")


@pytest.mark.usefixtures("later")
def test_a_digest_is_computed_once(tmp_path: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "model.safetensors", 1.0)
    first = opened(path, digests).content()
    assert first == opened(path, None).content()
    monkeypatch.setattr(Checkpoint, "_digest_of_leaves", never)
    assert opened(path, digests).content() == first


@pytest.mark.usefixtures("later")
def test_a_file_with_other_numbers_and_the_old_time_is_hashed_again(tmp_path: Path, digests: Digests) -> None:
    path = written(tmp_path / "model.safetensors", 1.0)
    before = path.stat()
    first = opened(path, digests).content()
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\x40")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = opened(path, digests)
    assert second.content() == opened(path, None).content() != first


def test_the_digest_of_a_file_that_changed_just_now_is_not_kept(tmp_path: Path, digests: Digests) -> None:
    opened(written(tmp_path / "model.safetensors", 1.0), digests).content()
    assert not kept_in(digests)


@pytest.mark.usefixtures("later")
def test_what_is_kept_but_is_no_digest_is_not_believed(tmp_path: Path, digests: Digests) -> None:
    path = written(tmp_path / "model.safetensors", 1.0)
    first = opened(path, digests).content()
    (kept,) = kept_in(digests)
    kept.write_text("nonsense")
    assert opened(path, digests).content() == first


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("place", [lambda: None, lambda: Path("no-such-folder")])
def test_without_a_folder_it_only_takes_longer(tmp_path: Path, place: Callable[[], Path | None]) -> None:
    path, digests = written(tmp_path / "model.safetensors", 1.0), Digests(place)
    assert opened(path, digests).content() == opened(path, None).content()
