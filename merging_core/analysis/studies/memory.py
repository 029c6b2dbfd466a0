"""What a study has measured: named arrays under names, kept while one looks and in a file between runs."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem, legible

__all__ = ["Arrays", "Memory"]

Arrays = dict[str, NDArray[numpy.generic]]


class Memory:
    """Arrays by name, for one study of one specification on certain models; any number of threads may use it.

    >>> memory = Memory()
    >>> memory.put("at 0.5", loss=numpy.array([1.0]))
    >>> memory.get("at 0.5")["loss"].tolist(), memory.get("at 1"), "at 0.5" in memory
    ([1.0], None, True)
    """

    def __init__(self) -> None:
        self._found: dict[str, Arrays] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Arrays | None:
        """Return what was put under a name; not to be written to."""
        with self._lock:
            return self._found.get(name)

    def put(self, name: str, **arrays: NDArray[numpy.generic]) -> None:
        """Keep arrays under a name, in place of what was there."""
        with self._lock:
            self._found[name] = dict(arrays)

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name in self._found

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(tuple(self._found))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        with self._lock:
            return sum(array.nbytes for arrays in self._found.values() for array in arrays.values())

    def save(self, path: Path, identity: str) -> None:
        """Write everything to a file, whole or not at all; `identity` says of what study it is."""
        with self._lock:
            flat = {f"{name}/{field}": array for name, arrays in self._found.items() for field, array in arrays.items()}
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            numpy.savez(file, allow_pickle=False, **{"/identity": numpy.array(identity), **flat})
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path, identity: str) -> Memory:
        """Read what `save` wrote; raises EvaluationError for a file of another study, or one that is damaged."""
        memory = cls()
        must, fix = "the file was written by the same study of the same models", "name another file to begin anew"
        try:
            with numpy.load(path, allow_pickle=False) as file:
                if str(file["/identity"]) != identity:
                    raise EvaluationError(Problem(must, "one of another study", legible(path.name), fix))
                for name in file.files:
                    if name != "/identity":
                        key, _, field = name.rpartition("/")
                        memory._found.setdefault(key, {})[field] = file[name]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise EvaluationError(Problem(must, "one that cannot be read", legible(path.name), fix)) from error
        return memory
