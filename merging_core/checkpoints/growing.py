"""A folder that grows beside its final name, and is there as a whole or not at all.

Everything goes into a hidden neighbour of the target, is flushed to the disk (file and folder) and then renamed, as
databases do. A process that dies leaves at most such a neighbour. The next write of the same name goes on with it where
both are the same work (`identity`), and removes it where not. Overwriting takes two renames: a process that dies
between them leaves the older checkpoint as a hidden neighbour.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.locks import locked_elsewhere, try_lock
from merging_core.checkpoints.reader import MODEL_NAME
from merging_core.checkpoints.templates import TEMPLATES
from merging_core.errors import PlanError, Problem, disk_is_full

__all__ = ["JOURNAL", "Growing", "check_target", "growing", "neighbours"]

JOURNAL = ".journal"
"""The file beside the weights that grow, in which stands what of them is on the disk."""
_SPACE_FACTOR = 1.1


class Growing:
    """The neighbour of a target while this process fills it, and its journal: lines that outlive the process."""

    def __init__(self, folder: Path, path: Path, journal: FileIO, noted: tuple[str, ...]) -> None:
        self.folder = folder
        """Where it will be."""
        self.path = path
        self.noted = noted
        """What the journal said when this process began: nothing in a new folder."""
        self._journal = journal

    def hold(self) -> None:
        """Hold it against others, as long as this process lives."""
        try_lock(self._journal)

    def note(self, lines: Iterable[str]) -> None:
        """Add lines to the journal; they are on the disk when this returns."""
        self._journal.write("".join(f"{line}\n" for line in lines).encode())
        os.fsync(self._journal.fileno())

    def forget(self) -> None:
        """Take back whatever was noted: the journal is as in a new folder."""
        self._journal.seek(0)
        first = self._journal.read(1 << 10).partition(b"\n")[0]
        self._journal.truncate(len(first) + 1)
        self._journal.seek(0, os.SEEK_END)
        self.noted = ()

    def settle(self) -> None:
        """Take the place of the target, held against others all the while."""
        with next(self.path.glob("*.safetensors")).open("rb") as first:
            try_lock(first)
            self._journal.close()
            (self.path / JOURNAL).unlink()
            if (self.path / TEMPLATES).is_dir():
                _sync_folder(self.path / TEMPLATES)
            _sync_folder(self.path)
            _put_in_place(self.path, self.folder)
            _sync_folder(self.folder.parent)

    def clear(self) -> None:
        """Remove whatever is left of it."""
        self._journal.close()
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def growing(folder: str | Path, size: int, *, identity: str = "", overwrite: bool = False) -> Iterator[Growing]:
    """Give a neighbour of `folder` to fill; when the block ends well it takes the place of `folder`, else it is gone.

    `size` is how many bytes come. `identity` names the work, as plain text on one line: what a process that died left
    of the same work is given again, with its journal; without an identity nothing is.
    Raises PlanError where the target is taken, the disk too small, or whatever the disk refuses.
    """
    folder = _placed(folder)
    check_target(folder, size, overwrite=overwrite)
    with _sentences(folder):
        new_parents = [parent for parent in folder.parents if not parent.exists()]
    place: Growing | None = None
    try:
        with _sentences(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            place = (_adopted(folder, identity) if identity else None) or _new(folder, identity)
            _remove_abandoned(folder)
            yield place
            place.settle()
    finally:
        if place is not None:
            place.clear()
        with suppress(OSError):  # one that holds something stays, and so do those above it
            for parent in new_parents:
                parent.rmdir()


def check_target(folder: str | Path, size: int, *, overwrite: bool = False) -> None:
    """Raise PlanError where a folder of `size` bytes cannot be written: its place is taken or the disk too small.

    Writes nothing, so that a long merge can ask before it begins; `growing` asks too.

    >>> check_target("no-such-folder/merged", 0)
    """
    folder = _placed(folder)
    with _sentences(folder):
        if problem := _taken(folder, overwrite):
            raise PlanError(problem)
        there = next(parent for parent in folder.parents if parent.exists())
        held = sum(_bytes_in(entry) for entry in neighbours(folder)) if there == folder.parent else 0
        needed, free = int(size * _SPACE_FACTOR), shutil.disk_usage(there).free + held
    if free < needed:
        must = f"the disk has {_amount(needed)} free (the output and a tenth)"
        raise PlanError(Problem(must, f"{_amount(free)} free", folder.name, "free some space or write elsewhere"))


def _placed(folder: str | Path) -> Path:
    """Return the absolute path; one that climbs (`..`) is followed to where it leads, so that it ends in a name."""
    folder = Path(folder).absolute()
    return folder.resolve() if ".." in folder.parts else folder


def _new(folder: Path, identity: str) -> Growing:
    path = folder.parent / f".{folder.name}.partial-{secrets.token_hex(8)}"
    path.mkdir()
    place: Growing | None = None
    try:
        place = Growing(folder, path, FileIO(path / JOURNAL, "x+"), ())
        place.hold()
        place.note([identity])
    except OSError:
        if place is not None:
            place.clear()
        shutil.rmtree(path, ignore_errors=True)
        raise
    return place


def _adopted(folder: Path, identity: str) -> Growing | None:
    """Return what a process that died left of the same work, held by this one; None where there is nothing."""
    for path in neighbours(folder):
        try:
            journal = FileIO(path / JOURNAL, "r+", opener=_no_link)
        except OSError:
            continue
        if try_lock(journal):
            first, *lines = _lines(journal)
            if first == identity:
                journal.seek(0, os.SEEK_END)
                return Growing(folder, path, journal, tuple(lines))
        journal.close()
    return None


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _lines(journal: FileIO) -> list[str]:
    """Return the whole lines of a journal; the last one may have been cut off, and is then taken off."""
    text = journal.readall().decode("utf-8", "replace")
    whole, _, cut = text.rpartition("\n")
    if cut:
        journal.truncate(len(f"{whole}\n".encode()))
    return whole.split("\n")


def neighbours(folder: Path) -> list[Path]:
    """Return the folders, alive or abandoned, in which the target grew."""
    name = re.compile(re.escape(f".{folder.name}.partial-") + "[0-9a-f]{16}")
    if not folder.parent.is_dir():
        return []
    return [entry for entry in folder.parent.iterdir() if name.fullmatch(entry.name) and not entry.is_symlink()]


def _remove_abandoned(folder: Path) -> None:
    """Remove what writes of the same name left when their process died; a living one holds the lock of its journal."""
    for entry in neighbours(folder):
        journal = entry / JOURNAL
        held = (
            [journal] if journal.exists() else [file for file in entry.glob("*.safetensors") if not file.is_symlink()]
        )
        if held and not any(locked_elsewhere(file) for file in held):
            shutil.rmtree(entry, ignore_errors=True)


def _bytes_in(folder: Path) -> int:
    """Return the bytes that the files of an abandoned folder take on the disk; 0 where somebody still writes."""
    if locked_elsewhere(folder / JOURNAL):
        return 0
    return sum(getattr(file.lstat(), "st_blocks", 0) * 512 for file in folder.iterdir())


def _taken(folder: Path, overwrite: bool) -> Problem | None:
    must = "the output folder is new or empty"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return Problem(must, "a file or a link of that name", folder.name, "choose another name")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not overwrite:
        return Problem(must, "a folder that holds files", folder.name, "choose another name, or remove it first")
    entries = list(folder.iterdir())
    if any(entry.is_dir() and entry.name != TEMPLATES for entry in entries) or {MODEL_NAME, INDEX_NAME}.isdisjoint(
        entry.name for entry in entries
    ):
        must, got = "only a checkpoint folder is overwritten", f"a folder without {MODEL_NAME}, or with folders in it"
        return Problem(must, got, folder.name, "choose another name")
    return None


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename the finished folder; an older one steps aside first and comes back if that fails."""
    if not (folder.exists() and any(folder.iterdir())):
        partial.rename(folder)
        return
    aside = folder.parent / f".{folder.name}.replaced-{secrets.token_hex(8)}"
    folder.rename(aside)
    try:
        partial.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot flush a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        full = disk_is_full(error)
        got = "a full disk" if full else f"“{error.strerror or type(error).__name__}”"
        fix = f"nothing was left behind; {'free some space or ' if full else ''}write elsewhere"
        raise PlanError(Problem("the output can be written", got, folder.name, fix)) from error
