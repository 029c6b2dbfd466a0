"""A checkpoint known before it is downloaded: configuration and headers, by range requests.

A header is some kilobytes at the start of a file of gigabytes. It passes the same strict check as that of a file on
this machine, so a plan finds every mistake before the first byte of weights is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Never

from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL, AdapterConfig, read_adapter_config
from merging_core.checkpoints.companions import most_bytes
from merging_core.checkpoints.config import CONFIG_BYTES, parse_json_object
from merging_core.checkpoints.files import Fingerprint
from merging_core.checkpoints.header import MAX_HEADER_BYTES, FileHeader, check_header
from merging_core.checkpoints.index import INDEX_NAME, MAX_INDEX_BYTES, checked_shards, weight_map_of
from merging_core.checkpoints.reader import CONFIG_NAME, Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.tied import told_once
from merging_core.errors import BasinError, CheckpointError, HubError, Problem
from merging_core.hub.files import read_part, read_small
from merging_core.hub.listing import CARD_NAME, Listing, RemoteFile
from merging_core.hub.search import HubEntry
from merging_core.hub.session import Caller

__all__ = ["HubSurvey", "RemoteCheckpoint", "read_survey"]

_FIRST = 64 << 10
_AT_ONCE = 4
_LARGEST_CARD = 1 << 20


@dataclass(frozen=True)
class HubSurvey:
    """What is known of a checkpoint on the Hub from its headers."""

    ref: Ref
    """With the commit."""
    about: HubEntry
    files: tuple[RemoteFile, ...]
    """What a download takes: weights, their index, configuration, card and `COMPANIONS`; never anything else."""
    config: dict[str, Any] = field(repr=False)
    """`config.json` as it was written, or empty; untrusted."""
    headers: tuple[FileHeader, ...] = field(repr=False)
    adapter: AdapterConfig | None = field(default=None, repr=False)
    """What the configuration of a LoRA adapter says, where it is one."""

    @property
    def nbytes(self) -> int:
        """The bytes of all files that a download takes."""
        return sum(file.size or 0 for file in self.files)

    @property
    def elements(self) -> int:
        """The number of scalars."""
        return sum(leaf.elements for header in self.headers for leaf in header.leaves)

    def checkpoint(self, folder: Path, small: Callable[[RemoteFile], bytes] | None = None) -> RemoteCheckpoint:
        """Return what a plan needs of it; its leaves cannot be read yet. `small` gets a small file."""
        leaves, twins = told_once(self.headers, self.config)
        files = {header.file: header for header in self.headers}
        label = self.ref.label
        listed = {file.name: file for file in self.files} if small is not None else {}
        return RemoteCheckpoint(
            self.ref, label, folder, self.config, leaves, files, twins=twins, adapter=self.adapter,
            listed=listed, small=small,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return what a person or a program may want to know before a download."""
        dtypes = sorted({leaf.dtype for header in self.headers for leaf in header.leaves})
        return {
            "ref": str(self.ref),
            "commit": self.ref.commit,
            "about": self.about.as_json(),
            "files": [{"name": file.name, "bytes": file.size, "sha256": file.sha256} for file in self.files],
            "bytes": self.nbytes,
            "leaves": sum(len(header.leaves) for header in self.headers),
            "elements": self.elements,
            "dtypes": dtypes,
            "model_type": self.config.get("model_type"),
        }


@dataclass(frozen=True, eq=False)
class RemoteCheckpoint(Checkpoint):
    """A checkpoint of which only headers are here; everything but reading leaves works as with any other."""

    listed: Mapping[str, RemoteFile] = field(default_factory=dict, kw_only=True, repr=False)
    """What a download would take, by name."""
    small: Callable[[RemoteFile], bytes] | None = field(default=None, kw_only=True, repr=False)
    """Gets one of them, where it is small."""
    _got: dict[str, bytes] = field(default_factory=dict, kw_only=True, repr=False)

    def beside(self, name: str, most: int) -> bytes | None:
        """Return a small file as the Hub has it, asked for once; raises HubError where the Hub does not give it."""
        file = self.listed.get(name)
        if file is None or self.small is None or not self.config or file.size is None or file.size > most:
            return None
        if name not in self._got:
            self._got[name] = self.small(file)
        return self._got[name]

    def reading(self) -> Never:
        """Raise CheckpointError: the checkpoint must be downloaded first."""
        must, fix = "the checkpoint is downloaded before its weights are read", "download it first"
        raise CheckpointError(Problem(must, "headers only", self.label, fix))


def read_survey(caller: Caller, listing: Listing) -> HubSurvey:
    """Read configuration and headers of a listed repository; no weights.

    Raises CheckpointError for what is wrong with the files, naming the model and the file, and HubError.
    """
    try:
        return _read(caller, listing)
    except BasinError as error:
        raise error.located(listing.ref.label) from None


def _read(caller: Caller, listing: Listing) -> HubSurvey:
    weights = listing.weights()
    taken = [listing.files[name] for name in (CONFIG_NAME, CARD_NAME) if name in listing.files]
    taken = [file for file in taken if file.name == CONFIG_NAME or (file.size or _LARGEST_CARD + 1) <= _LARGEST_CARD]
    config: dict[str, Any] = {}
    if weights.name == ADAPTER_MODEL:
        return _adapter(caller, listing, weights)
    if CONFIG_NAME in listing.files:
        data = read_small(caller, listing.ref, listing.files[CONFIG_NAME], CONFIG_BYTES)
        config = parse_json_object(data, CONFIG_NAME)
    if weights.name != INDEX_NAME:
        shards = [weights]
        headers: tuple[FileHeader, ...] = (_header(caller, listing.ref, weights),)
    else:
        data = read_small(caller, listing.ref, weights, MAX_INDEX_BYTES)
        weight_map = weight_map_of(parse_json_object(data, INDEX_NAME))
        shards = _shards(listing, set(weight_map.values()))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(lambda shard: _header(caller, listing.ref, shard), shards))
        headers = checked_shards(weight_map, found)
        taken.append(weights)
    return HubSurvey(listing.ref, listing.about, (*shards, *taken, *_companions(listing)), config, headers)


def _adapter(caller: Caller, listing: Listing, weights: RemoteFile) -> HubSurvey:
    """Read what there is of a LoRA adapter; a model's configuration beside it is not its own."""
    said = listing.files[ADAPTER_CONFIG]
    data = read_small(caller, listing.ref, said, CONFIG_BYTES)
    adapter = read_adapter_config(parse_json_object(data, ADAPTER_CONFIG))
    card = listing.files.get(CARD_NAME)
    taken = [card] if card is not None and (card.size or _LARGEST_CARD + 1) <= _LARGEST_CARD else []
    header = _header(caller, listing.ref, weights)
    return HubSurvey(listing.ref, listing.about, (weights, said, *taken), {}, (header,), adapter)


def _companions(listing: Listing) -> list[RemoteFile]:
    """Return what says how inputs are made, where it has a size and is small."""
    known = [(file, most) for name, file in listing.files.items() if (most := most_bytes(name)) is not None]
    return [file for file, most in known if file.size is not None and file.size <= most]


def _shards(listing: Listing, names: set[str]) -> list[RemoteFile]:
    missing = sorted(names - listing.files.keys())
    if missing:
        must = "every shard of the index is in the repository"
        raise CheckpointError(*(Problem(must, "no such file", name) for name in missing[:8]))
    return [listing.files[name] for name in sorted(names)]


def _header(caller: Caller, ref: Ref, file: RemoteFile) -> FileHeader:
    """Read and check the header of one file: in one request, or two where it is long."""
    if file.sha256 is None and file.blob is None:
        fix = "weights that cannot be checked are not taken"
        raise HubError(Problem("the Hub says what the file's sha256 is", "no digest", file.name, fix))
    first = read_part(caller, ref, file, 0, _FIRST)
    end = 8 + int.from_bytes(first.data[:8], "little")
    data = first.data
    if len(data) < end <= min(8 + MAX_HEADER_BYTES, first.size):
        data += read_part(caller, ref, file, len(data), end).data
    leaves, metadata = check_header(data, first.size, file.name)
    return FileHeader(file.name, Fingerprint(first.size, 0, 0, 0), leaves, metadata)
