"""A base with a LoRA adapter, as one checkpoint: each leaf is added up when it is read, and never more than is read.

W + s·B·A is computed in float64 over fixed blocks of rows, on one core each, and rounded once to float32; so its bits
do not depend on how a leaf is cut or on how many threads there are. What the adapter leaves alone is the base's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from merging_core.checkpoints.adapter_leaves import Change, Product, changes_of
from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.header import LeafHeader
from merging_core.checkpoints.reader import Checkpoint, Reading, Room
from merging_core.cores import on_one_core
from merging_core.errors import CheckpointError, Problem

__all__ = ["AdaptedCheckpoint", "adapted"]

_BLOCK = 1 << 15
"""Elements of a block, if its rows are not longer."""


@dataclass(frozen=True, eq=False)
class AdaptedCheckpoint(Checkpoint):
    """The leaves of a base, some of them changed by an adapter; those are float32."""

    base: Checkpoint = field(kw_only=True, repr=False)
    lora: Checkpoint = field(kw_only=True, repr=False)
    """The adapter alone."""
    changes: Mapping[str, Change] = field(kw_only=True, repr=False)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Keep the files of base and adapter open between reads."""
        with self.base.reading() as base, self.lora.reading() as lora:
            yield _AdaptedReading(self, base, lora)

    @property
    def pin_content(self) -> str:
        """The digest of the adapter alone: the base has a reference of its own."""
        return self.lora.content()

    def compute_content(self) -> str:
        """Return the digest of base and adapter together."""
        return _together(self.base.content(), self.lora.content())

    def tied_by(self, config: Mapping[str, object]) -> Checkpoint:
        """Return itself: what is tied is what its base ties."""
        return self

    def check_twins(self) -> None:
        """Do nothing: the leaves of the file are the base's, which is asked itself."""

    @property
    def products(self) -> tuple[Product, ...]:
        """What is added to leaves, one for each."""
        return tuple(change.product for change in self.changes.values() if change.product is not None)

    @property
    def words(self) -> str:
        """What it is, for a plan."""
        ranks = {product.rank for product in self.products if product.right}
        shown = f" of rank {min(ranks)}" + (f" to {max(ranks)}" if len(ranks) > 1 else "") if ranks else ""
        count = len(self.changes)
        return f"a LoRA adapter{shown} that changes {count} lea{'f' if count == 1 else 'ves'} of {self.base.label}"


def adapted(base: Checkpoint, adapter: Checkpoint) -> AdaptedCheckpoint:
    """Return the base with an adapter added to it, from headers alone.

    Raises CheckpointError with everything in the adapter that does not fit the base.
    """
    if adapter.adapter is None or base.adapter is not None:
        raise CheckpointError(Problem("an adapter is added to a whole model", "two of one kind", adapter.label))
    changes = changes_of(adapter.adapter, adapter.leaves, base.leaves, adapter.label, base.label, base.config)
    leaves = {
        name: LeafHeader(name, "F32", leaf.shape, leaf.file, leaf.offset) if name in changes else leaf
        for name, leaf in base.leaves.items()
    }
    known = base.known_content is not None and adapter.known_content is not None
    content = _together(base.content(), adapter.content()) if known else None
    fields = {name: getattr(adapter, name) for name in ("ref", "label", "folder", "files", "root")}
    return AdaptedCheckpoint(
        **fields, config=base.config, leaves=leaves, known_content=content, base=base, lora=adapter, changes=changes
    )


class _AdaptedReading(Reading):
    def __init__(self, checkpoint: AdaptedCheckpoint, base: Reading, lora: Reading) -> None:
        super().__init__(checkpoint)
        self._adapted = checkpoint
        self._base = base
        self._lora = lora
        self._held = ""
        self._factors = (torch.empty(0), torch.empty(0))

    def read_range(
        self, name: str, start: int, stop: int, *, check: bool = True, room: Room | None = None
    ) -> torch.Tensor:
        change = self._adapted.changes.get(name)
        if change is None:
            return self._base.read_range(name, start, stop, check=check, room=room)
        reading, stored = (self._lora, change.replaced) if change.replaced else (self._base, name)
        if change.product is None:
            return self._rounded(name, reading.read_range(stored, start, stop, check=check), check)
        left, right = self._of(name, change.product)
        rows, columns = change.product.rows, change.product.columns
        own = reading.read_range(stored, start, stop, check=check)
        found = on_one_core(lambda: _added(own, start, left, right, rows, columns))
        return self._rounded(name, found, check)

    def read(self, name: str) -> torch.Tensor:
        leaf = self._leaf(name)
        return self.read_range(name, 0, leaf.elements).view(leaf.shape)

    def data_digest(self, name: str, hear: Callable[[int], None] | None = None) -> bytes:
        """Return the sha256 of a leaf's numbers as they are read."""
        data = self.read(name).contiguous().view(-1).view(torch.uint8).numpy().data
        if hear is not None:
            hear(len(data))
        return hashlib.sha256(data).digest()

    def close(self) -> None:
        """Close both files."""
        self._base.close()
        self._lora.close()

    def _of(self, name: str, product: Product) -> tuple[torch.Tensor, torch.Tensor]:
        """Return s·left and right in float64, held for the leaf that was read last."""
        if self._held != name:
            left = self._lora.read(product.left).double()
            left = left.view(left.shape[0], -1).T.contiguous() if product.turned else left.view(product.rows, -1)
            if product.right:
                right = self._lora.read(product.right).double()
                right = right.view(right.shape[0], -1)
                right = right.T.contiguous() if product.turned else right
            else:
                right = torch.ones(1, 1, dtype=torch.float64)
            self._factors, self._held = (left * product.scale, right), name
        return self._factors

    def _rounded(self, name: str, values: torch.Tensor, check: bool) -> torch.Tensor:
        narrow = values.to(torch.float32)
        if check:
            check_finite(narrow, f"{self.label}: {name} in float32")
        return narrow


def _added(
    own: torch.Tensor, start: int, left: torch.Tensor, right: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """Return elements of own + left·right from `start` on, in float32, computed block of rows by block of rows."""
    high, stop = max(1, _BLOCK // max(1, columns)), start + own.numel()
    found = torch.empty(own.numel(), dtype=torch.float32)
    at = start
    while at < stop:
        first = at // columns // high * high
        last = min(first + high, rows)
        end = min(stop, last * columns)
        added = torch.mm(left[first:last], right).view(-1)[at - first * columns : end - first * columns]
        part = slice(at - start, end - start)
        found[part] = own[part].double().add_(added)
        at = end
    return found


def _together(base: str, adapter: str) -> str:
    return hashlib.sha256(f"adapter\n{base}\n{adapter}\n".encode()).hexdigest()
