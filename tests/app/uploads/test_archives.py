"""Archives of strangers: nothing leads out of its folder, nothing grows without end."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from app.uploads import archives
from app.uploads.archives import unpack
from app.uploads.problems import TooLargeError, UploadError

MOST = 1_000_000


def packed(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in entries:
            out.writestr(name, data)
    return path


def patched(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    data = path.read_bytes()
    for old, new in changes:
        assert old in data and len(old) == len(new)
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


def refused(archive: Path, tmp_path: Path) -> str:
    with pytest.raises(UploadError) as caught:
        unpack(archive, tmp_path / "out", "mine.zip", MOST)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= MOST
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["../a.png", "cat/../../a.png", "/etc/a.png", "C:/a.png", "cat\\..\\a.png", "a/b/c/d/e/f.png", "cat//a.png",
     "cat/ a.png", "cat/a\x07.png", f"{'c' * 200}/a.png"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    said = refused(packed(tmp_path / "a.zip", ("cat/fine.png", b"1"), (name, b"2")), tmp_path)
    assert "mine.zip" in said and str(tmp_path) not in said
    assert not (tmp_path.parent / "a.png").exists()


def test_a_link_a_password_and_another_compression_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    assert "a link or a device" in refused(packed(tmp_path / "a.zip", (link, b"/etc/passwd")), tmp_path)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_BZIP2) as out:
        out.writestr("cat/a.png", b"1" * 100)
    assert "another compression" in refused(tmp_path / "b.zip", tmp_path)
    archive = packed(tmp_path / "c.zip", ("cat/a.png", b"1"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert "an entry with one" in refused(archive, tmp_path)


def test_a_bomb_is_refused_by_what_it_says_and_by_what_comes_out(tmp_path: Path) -> None:
    assert "unfolds at most 200 times" in refused(packed(tmp_path / "a.zip", ("cat/a.png", bytes(3_000_000))), tmp_path)
    noise = b"".join(f"{value * value:x}".encode() for value in range(60_000))
    many = packed(tmp_path / "b.zip", *((f"cat/{place}.png", noise) for place in range(4)))
    with pytest.raises(TooLargeError, match="unfolds to at most 1,000,000 bytes"):
        unpack(many, tmp_path / "out", "mine.zip", MOST)
    size = len(noise).to_bytes(4, "little")
    lying = patched(packed(tmp_path / "c.zip", ("cat/a.png", noise)), (size, (10).to_bytes(4, "little")))
    assert "damaged" in refused(lying, tmp_path) or "more than it says" in refused(lying, tmp_path)


def test_too_many_entries_are_refused_before_they_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 3)
    archive = packed(tmp_path / "a.zip", *((f"cat/{place}.png", b"1") for place in range(4)))
    assert "at most 3 entries, but 4 or more came" in refused(archive, tmp_path)
    lying = patched(archive, ((4).to_bytes(2, "little") * 2, (1).to_bytes(2, "little") * 2))
    assert refused(lying, tmp_path)


def test_the_same_name_twice_and_an_archive_without_pictures_are_refused(tmp_path: Path) -> None:
    assert "one twice" in refused(packed(tmp_path / "a.zip", ("cat/a.png", b"1"), ("cat/A.png", b"2")), tmp_path)
    assert "one folder a class, but none" in refused(packed(tmp_path / "b.zip", ("readme.txt", b"1")), tmp_path)


@pytest.mark.parametrize("cut", [1, 10, 22, 40, 80])
def test_a_cut_or_broken_archive_is_damaged_and_never_another_error(tmp_path: Path, cut: int) -> None:
    archive = packed(tmp_path / "a.zip", ("cat/a.png", b"1234" * 9), ("dog/b.png", b"5678" * 9))
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-cut])
    assert "damaged" in refused(archive, tmp_path)
    archive.write_bytes(whole[:cut] + b"\xff" * 4 + whole[cut + 4 :])
    try:
        unpack(archive, tmp_path / f"out{cut}", "mine.zip", MOST)
    except UploadError as error:
        assert "mine.zip" in str(error)


def test_splits_and_tables_stay_where_they_are(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", ("train/cat/a.png", b"1"), ("test/cat/b.png", b"2"), ("labels.csv", b"path"))
    found = unpack(archive, tmp_path / "out", "mine.zip", MOST)
    assert (found.files, found.classes, found.bytes) == (3, 1, 6)
    assert (tmp_path / "out" / "train" / "cat" / "a.png").read_bytes() == b"1"
