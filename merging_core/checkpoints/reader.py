"""Checkpoints: named tensors that are read one at a time, each into memory of its own.

We read with plain reads from a descriptor that we opened ourselves, not with safetensors' memory map: a mapped file
that shrinks ends the process (SIGBUS), a read that comes up short is an error like any other. It also lets us read a
part of a leaf, and check before and after each read that the file is the one whose header was checked. Data are
little-endian in the file and in memory: hosts of the other order are refused.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

import numpy
import torch

from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL, AdapterConfig, read_adapter_config
from merging_core.checkpoints.config import read_json_object
from merging_core.checkpoints.content import adapter_digest, content_digest
from merging_core.checkpoints.digests import Digests
from merging_core.checkpoints.dtypes import torch_dtype
from merging_core.checkpoints.files import fingerprint, open_regular, read_fully
from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.header import FileHeader, LeafHeader, read_header
from merging_core.checkpoints.heed import tell
from merging_core.checkpoints.index import INDEX_NAME, read_shards
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.tied import Twin, told_once
from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["CONFIG_NAME", "MODEL_NAME", "Checkpoint", "Reading", "Room", "open_checkpoint"]

MODEL_NAME, CONFIG_NAME = "model.safetensors", "config.json"
_HASHED_AT_ONCE = 4 << 20
_COMPARED_AT_ONCE = 1 << 20
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


Room = Callable[[int], torch.Tensor | None]
"""Gives so many bytes, as a tensor of uint8, or nothing."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint whose headers are checked and whose tensors are read when asked for.

    Two threads may read at the same time. Nothing is cached but the content digest.
    """

    ref: Ref
    label: str
    """How messages call it; never a path that a visitor should not see."""
    folder: Path
    config: dict[str, Any] = field(repr=False)
    """`config.json` as it was written, or empty; untrusted: never hand it to transformers as it is."""
    leaves: dict[str, LeafHeader] = field(repr=False)
    """By name, in natural order; a matrix that the configuration ties to another name stands here once."""
    files: dict[str, FileHeader] = field(repr=False)
    root: Path | None = field(default=None, repr=False)
    """The folder inside which symlinks may lead; None where links are refused."""
    known_content: str | None = field(default=None, repr=False)
    """The digest where somebody who can be trusted has computed it before."""
    twins: tuple[Twin, ...] = field(default=(), repr=False)
    """What the files hold besides: leaves that are one of `leaves` under another name."""
    adapter: AdapterConfig | None = field(default=None, repr=False)
    """How the leaves are added to those of a base, where they are a LoRA adapter's; see `adapted`."""
    digests: Digests | None = field(default=None, repr=False)
    """Where a digest that was computed is kept for other processes."""

    @property
    def pin_content(self) -> str:
        """The digest that a pin of the reference holds."""
        return self.content()

    @property
    def stored(self) -> dict[str, LeafHeader]:
        """Every leaf by the name that it has in the files; what the content is computed of."""
        if not self.twins:
            return self.leaves
        renamed = {twin.leaf for twin in self.twins if twin.alone}
        own = {name: leaf for name, leaf in self.leaves.items() if name not in renamed}
        return own | {twin.stored.name: twin.stored for twin in self.twins}

    @property
    def elements(self) -> int:
        """The number of scalars in all leaves."""
        return sum(leaf.elements for leaf in self.leaves.values())

    @property
    def nbytes(self) -> int:
        """The bytes of the data of all leaves."""
        return sum(leaf.nbytes for leaf in self.leaves.values())

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that occur, sorted."""
        return tuple(sorted({leaf.dtype for leaf in self.leaves.values()}))

    def read(self, name: str) -> torch.Tensor:
        """Return one leaf in its stored dtype and shape, in memory of its own; see `Reading.read`."""
        with self.reading() as reading:
            return reading.read(name)

    def read_range(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the elements `start ≤ i < stop` of a leaf, as a 1-D tensor; see `Reading.read_range`."""
        with self.reading() as reading:
            return reading.read_range(name, start, stop)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Keep the file that was read last open between reads: for whoever reads many leaves."""
        reading = Reading(self)
        try:
            yield reading
        finally:
            reading.close()

    def beside(self, name: str, most: int) -> bytes | None:
        """Return a small file that lies beside the configuration; None where there is none.

        That is so too for what is no regular file or has more than `most` bytes, and for a model without configuration:
        whose files those are nobody knows.
        """
        inside = self.folder / name
        if not self.config or ("/" in name and inside.parent.is_symlink()):
            return None
        try:
            with open_regular(inside, root=self.root) as file:
                data = read_fully(file, most + 1, name)
        except CheckpointError:
            return None
        return data if len(data) <= most else None

    def content(self) -> str:
        """Return the content digest, 64 hex digits; computed once, by reading every byte, unless it was known."""
        return self.known_content if self.known_content is not None else self._computed_content

    def compute_content(self) -> str:
        """Read every byte and return the content digest, whatever was known before."""
        digest = self._digest_of_leaves()
        return digest if self.adapter is None else adapter_digest(digest, self.adapter)

    def tied_by(self, config: Mapping[str, Any]) -> Checkpoint:
        """Return the checkpoint with what this configuration ties told once; as it is where it has one of its own."""
        if self.config or not config:
            return self
        leaves, twins = told_once(self.files.values(), config)
        return replace(self, leaves=leaves, twins=twins) if twins else self

    def check_twins(self) -> None:
        """Raise CheckpointError where leaves that the configuration ties hold different numbers; reads these alone."""
        compared = [twin for twin in self.twins if not twin.alone]
        if not compared:
            return
        problems = []
        with self.reading() as first, self.reading() as second:
            for twin in compared:
                size = _COMPARED_AT_ONCE
                cuts = [(at, min(at + size, twin.stored.elements)) for at in range(0, twin.stored.elements, size)]
                if not all(self._alike(first, second, twin, *cut) for cut in cuts):
                    must = f"it holds the numbers of {twin.leaf}, to which {CONFIG_NAME} ties it"
                    fix = "write “tie_word_embeddings: false” into it if both are meant"
                    problems.append(Problem(must, "other numbers", f"{self.label}: {twin.stored.name}", fix))
        if problems:
            raise CheckpointError(*problems)

    def _alike(self, first: Reading, second: Reading, twin: Twin, start: int, stop: int) -> bool:
        size = twin.stored.nbytes // twin.stored.elements
        tell(self.label, start * size, twin.stored.nbytes)
        one, other = first.bits(twin.leaf, start, stop), second.bits(twin.stored.name, start, stop)
        return numpy.array_equal(one.numpy(), other.numpy())

    @cached_property
    def _computed_content(self) -> str:
        if self.digests is None:
            return self.compute_content()
        files = {name: file.fingerprint for name, file in self.files.items()}
        digest = self.digests.of(self.folder, files, self.stored.values(), self._digest_of_leaves)
        return digest if self.adapter is None else adapter_digest(digest, self.adapter)

    def _digest_of_leaves(self) -> str:
        stored = self.stored
        total, read = sum(leaf.nbytes for leaf in stored.values()), 0

        def hear(size: int) -> None:
            nonlocal read
            read += size
            tell(self.label, read, total)

        with self.reading() as reading:
            return content_digest(stored.values(), lambda name: reading.data_digest(name, hear))


class Reading:
    """Reads leaves of one checkpoint, keeping the file that it read last open; for one thread at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.label = checkpoint.label
        self._name = ""
        self._file: FileIO | None = None

    def read(self, name: str) -> torch.Tensor:
        """Return one leaf in its stored dtype and shape, in memory of its own.

        Raises CheckpointError when the file changed since it was opened, and NonFiniteError, with the counts, when a
        floating leaf holds NaN or infinity. Stored booleans other than 0 are true.
        """
        leaf = self._leaf(name)
        return self._read(leaf, 0, leaf.elements).view(leaf.shape)

    def read_range(
        self, name: str, start: int, stop: int, *, check: bool = True, room: Room | None = None
    ) -> torch.Tensor:
        """Return the elements `start ≤ i < stop` of a leaf in row-major order, as a 1-D tensor in its stored dtype.

        Without `check` whoever reads knows that they are finite, having read them before from the same file. `room` is
        asked for bytes to read into; where it gives none, the memory is the caller's own.
        Raises as `read` does, and CheckpointError when the range is not inside the leaf.
        """
        leaf = self._leaf(name)
        if not 0 <= start <= stop <= leaf.elements:
            must = f"a range lies inside the {leaf.elements} elements"
            raise CheckpointError(Problem(must, f"{start} to {stop}", f"{self._checkpoint.label}: {name}"))
        return self._read(leaf, start, stop, check=check, room=room)

    def bits(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the elements `start ≤ i < stop` as they are stored: bytes `[(stop − start) · size of one]`.

        Raises CheckpointError as `read_range` does.
        """
        return self.read_range(name, start, stop, check=False).view(torch.uint8)

    def data_digest(self, name: str, hear: Callable[[int], None] | None = None) -> bytes:
        """Return the sha256 of a leaf's stored bytes, telling `hear` of so many bytes now and then.

        Raises CheckpointError when the file changed.
        """
        leaf = self._leaf(name)
        digest = hashlib.sha256()
        buffer = bytearray(min(leaf.nbytes, _HASHED_AT_ONCE))
        for at in range(0, leaf.nbytes, _HASHED_AT_ONCE):
            part = memoryview(buffer)[: min(_HASHED_AT_ONCE, leaf.nbytes - at)]
            self._fill(part, leaf, leaf.offset + at)
            digest.update(part)
            if hear is not None:
                hear(len(part))
        return digest.digest()

    def close(self) -> None:
        """Close the open file, if there is one."""
        if self._file is not None:
            self._file.close()
        self._name, self._file = "", None

    def _leaf(self, name: str) -> LeafHeader:
        leaf = self._checkpoint.leaves.get(name)
        if leaf is None and self._checkpoint.twins:
            leaf = self._checkpoint.stored.get(name)
        if leaf is None:
            must, known = "the leaf exists", self._checkpoint.leaves
            raise CheckpointError(Problem(must, name, self._checkpoint.label, closest(name, known)))
        return leaf

    def _read(
        self, leaf: LeafHeader, start: int, stop: int, *, check: bool = True, room: Room | None = None
    ) -> torch.Tensor:
        dtype = torch_dtype(leaf.dtype)
        size = (stop - start) * dtype.itemsize
        given = room(size) if room is not None else None
        buffer = torch.empty(size, dtype=torch.uint8) if given is None else given
        self._fill(buffer.numpy().data, leaf, leaf.offset + start * dtype.itemsize)
        tensor = buffer.ne(0) if dtype is torch.bool else buffer.view(dtype)
        if check:
            check_finite(tensor, f"{self._checkpoint.label}: {leaf.name}")
        return tensor

    def _fill(self, buffer: memoryview, leaf: LeafHeader, offset: int) -> None:
        """Fill a buffer from the leaf's file; then check that it still is the file whose header was read."""
        file = self._opened(leaf)
        try:
            file.seek(offset)
            filled = 0
            while filled < len(buffer) and (count := file.readinto(buffer[filled:])):
                filled += count
        except OSError as error:
            where = f"{self._checkpoint.label}: {leaf.file}"
            raise CheckpointError(Problem("the file can be read", f"“{error.strerror}”", where)) from None
        if filled < len(buffer) or fingerprint(file) != self._checkpoint.files[leaf.file].fingerprint:
            raise CheckpointError(self._changed(leaf))

    def _opened(self, leaf: LeafHeader) -> FileIO:
        if self._file is None or self._name != leaf.file:
            self.close()
            try:
                file = open_regular(self._checkpoint.folder / leaf.file, root=self._checkpoint.root)
            except CheckpointError as error:
                raise error.located(self._checkpoint.label) from None
            self._name, self._file = leaf.file, file
            if fingerprint(file) != self._checkpoint.files[leaf.file].fingerprint:
                raise CheckpointError(self._changed(leaf))
        return self._file

    def _changed(self, leaf: LeafHeader) -> Problem:
        must, where = "the file stays as it was when it was opened", f"{self._checkpoint.label}: {leaf.file}"
        return Problem(must, "a changed file", where, "open the checkpoint again")


def open_checkpoint(
    path: str | Path,
    ref: Ref,
    *,
    label: str = "",
    root: Path | None = None,
    known_content: str | None = None,
    digests: Digests | None = None,
) -> Checkpoint:
    """Open a folder or a single safetensors file, reading headers and `config.json` only.

    A folder holds `model.safetensors`, or shards named by `model.safetensors.index.json`; where it has both, the single
    file counts, as in transformers. `config.json` is optional and read beside `model.safetensors` or its index; a
    single file of another name has no configuration. Symlinks are refused unless they resolve inside `root`. `label`
    stands in messages; it defaults to the reference's own. `digests` knows what was hashed before. A folder without
    either may hold a LoRA adapter of PEFT.
    Raises CheckpointError, naming the label and the file.
    """
    path = Path(path)
    label = label or ref.label
    if sys.byteorder != "little":
        raise CheckpointError(Problem("the host stores numbers little-endian", "another order", label))
    try:
        folder, files = _headers(path, root)
        adapter = None
        if files[0].file == ADAPTER_MODEL and _present(folder / ADAPTER_CONFIG):
            adapter, said = _adapter(folder, root)
            files = (*files, said)
        beside = (path.is_dir() or path.name == MODEL_NAME) and adapter is None
        has_config = beside and _present(folder / CONFIG_NAME)
        config = read_json_object(folder / CONFIG_NAME, root=root) if has_config else {}
    except CheckpointError as error:
        raise error.located(label) from None
    except OSError as error:
        got = f"“{error.strerror or type(error).__name__}”"
        raise CheckpointError(Problem("the folder can be looked into", got, label)) from None
    leaves, twins = told_once(files, config)
    by_name = {file.file: file for file in files}
    return Checkpoint(ref, label, folder, config, leaves, by_name, root, known_content, twins, adapter, digests)


def _adapter(folder: Path, root: Path | None) -> tuple[AdapterConfig, FileHeader]:
    """Read the configuration of an adapter, and what tells its file from one that later takes its place."""
    found = read_adapter_config(read_json_object(folder / ADAPTER_CONFIG, root=root))
    with open_regular(folder / ADAPTER_CONFIG, root=root) as file:
        return found, FileHeader(ADAPTER_CONFIG, fingerprint(file), (), {})


def _headers(path: Path, root: Path | None) -> tuple[Path, tuple[FileHeader, ...]]:
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):
        is_folder = False
    if not is_folder:
        return path.parent, (read_header(path, root=root),)
    if _present(path / MODEL_NAME):
        return path, (read_header(path / MODEL_NAME, root=root),)
    if _present(path / INDEX_NAME):
        return path, read_shards(path, root=root)
    if _present(path / ADAPTER_MODEL) and _present(path / ADAPTER_CONFIG):
        return path, (read_header(path / ADAPTER_MODEL, root=root),)
    names = sorted(entry.name for entry in path.iterdir())[:1000]
    pickles = [name for name in names if name.endswith(_PICKLES)]
    others = [name for name in names if name.endswith(".safetensors")]
    must = f"a checkpoint folder holds {MODEL_NAME} or {INDEX_NAME}"
    if pickles:
        fix = "pickles can run code and are never loaded: save the model as safetensors"
        raise CheckpointError(Problem(must, f"only {pickles[0]}", "", fix))
    if others:
        raise CheckpointError(Problem(must, f"a folder with {others[0]}", "", "name that file in the reference"))
    raise CheckpointError(Problem(must, "a folder without them"))


def _present(path: Path) -> bool:
    """Say whether the name is taken, by whatever: a dangling link or a pipe is refused later, by name."""
    return path.is_symlink() or path.exists()
