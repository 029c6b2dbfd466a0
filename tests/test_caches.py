"""Folders of this machine that are believed belong to this user alone."""

from __future__ import annotations

from pathlib import Path

from merging_core.caches import own_folder


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    environment = {"BASIN_CACHE": str(tmp_path)}
    folder = own_folder("native", environment)
    assert folder == tmp_path / "native" and folder.is_dir()
    folder.chmod(0o777)
    assert own_folder("native", environment) is None


def test_a_place_that_cannot_be_made_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert own_folder("native", {"BASIN_CACHE": str(tmp_path / "file")}) is None
