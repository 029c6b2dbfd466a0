"""The learned tensors that this server keeps, by content: a recipe or a link names them, the files lie here.

What a link, a saved result or the history names stays. What none of them names goes after a while, or with the run that
learned it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.ref import LEARNED, parse_ref
from merging_core.recipes import Recipe

__all__ = ["ADVICE", "LearnedShelf", "learned_in", "learned_of", "mark_test"]

ADVICE = "bring recipe.json and recipe.tensors under Learn, learn it again there, or leave the learned tensors out"
"""What to do where learned tensors are not on a server."""
_NAMED, _TEST = ".named", ".test"
"""What stands beside a file that something names, and beside one that was learned from inputs of a test split."""
_SECONDS = 7 * 24 * 3600.0


class LearnedShelf:
    """`<data>/learned`, or a temporary folder where nothing is kept. Files are named by content and never change.

    `seconds`: how long a file stays that nothing names. `now`: the clock, in seconds.
    """

    def __init__(self, data: Path | None, *, seconds: float = _SECONDS, now: Callable[[], float] = time.time) -> None:
        if data is None:
            data = Path(tempfile.mkdtemp(prefix="basin-learned-"))
            weakref.finalize(self, shutil.rmtree, data, ignore_errors=True)
        self.root = data / "learned"
        self._seconds, self._now = seconds, now

    @property
    def tensors(self) -> LearnedTensors:
        """The tensors, for a catalog."""
        return learned_in(self.root)

    def name(self, *refs: str) -> None:
        """Remember that a link, a saved result or the history names these tensors, as far as they are here."""
        for path in map(self.path, refs):
            if path.is_file():
                path.with_suffix(_NAMED).touch()

    def bring(self, file: Path, content: str) -> str:
        """Take a copy of a file whose content digest is known, and return its reference."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / f"{content}.safetensors"
        if not path.is_file():
            aside = self.root / f".{secrets.token_hex(8)}.part"
            shutil.copyfile(file, aside)
            aside.replace(path)
        return f"{LEARNED}:{content}"

    def is_named(self, ref: str) -> bool:
        """Say whether something names these tensors."""
        return self.path(ref).with_suffix(_NAMED).is_file()

    def is_transductive(self, *refs: str) -> bool:
        """Say whether any of these was learned from inputs of a test split, so that every number of theirs says so."""
        return any(path.with_suffix(_TEST).is_file() for path in map(self.path, refs))

    def path(self, ref: str) -> Path:
        """Return where the file of `learned:` and a digest lies, if it is here."""
        return self.root / f"{parse_ref(ref).path}.safetensors"

    def size(self, ref: str) -> int:
        """Return the bytes of the file; 0 where it is not here."""
        try:
            return self.path(ref).stat().st_size
        except OSError:
            return 0

    def total(self) -> int:
        """Return the bytes of all files."""
        return sum(entry.stat().st_size for entry in os.scandir(self.root)) if self.root.is_dir() else 0

    def let_go(self, ref: str) -> None:
        """Delete a file that nothing names; one that something names stays."""
        if not self.is_named(ref):
            _remove(self.path(ref))

    def clean(self) -> None:
        """Delete what nothing names and is too old."""
        if not self.root.is_dir():
            return
        eldest = self._now() - self._seconds
        for path in self.root.glob("*.safetensors"):
            with suppress(OSError):
                if path.stat().st_mtime < eldest and not path.with_suffix(_NAMED).is_file():
                    _remove(path)


def mark_test(root: Path, refs: Iterable[str]) -> None:
    """Remember that these were learned from inputs of a test split."""
    for ref in refs:
        (root / f"{parse_ref(ref).path}{_TEST}").touch()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(_TEST).unlink(missing_ok=True)


def learned_of(recipe: Recipe) -> tuple[str, ...]:
    """Return what a recipe names of what was learned: its tensors, and what was measured of its models."""
    measured = (entry.statistics for entry in recipe.models)
    return tuple(ref for ref in (recipe.tensors, *measured) if ref is not None)


def learned_in(root: Path) -> LearnedTensors:
    """Return the learned tensors below a folder of a server, which says what to do where some are missing."""
    return LearnedTensors((root,), advice=ADVICE)
