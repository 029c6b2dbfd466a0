"""Merges of a small part of every model: some runs of numbers, or one matrix, carried out by the live engine itself.

What a method does is seen on a few thousand numbers. They are cut out of the checkpoints, become small checkpoints of
their own with the same leaves' names, and are merged like any other: ranks, majorities and angles are then those among
the numbers that were cut out, and coins are thrown for them anew. So a look costs the same for every size of model.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from merging_core.checkpoints.dtypes import dtype_name
from merging_core.checkpoints.header import LeafHeader
from merging_core.checkpoints.reader import Checkpoint, Reading, Room
from merging_core.checkpoints.ref import LEARNED, Ref, parse_ref
from merging_core.engines.live import LiveEngine
from merging_core.engines.measured import sampled_statistics, statistics_of
from merging_core.engines.residency import Residency
from merging_core.methods.registry import method
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import ModelEntry, Recipe
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf

__all__ = ["Cut", "InMemory", "Looked", "Sample", "SampledMerges", "one_matrix", "read_sample", "scattered"]

_POINTS, _RUN = 64, 128
_SIDE = 144
_HELD = 512
"""Small checkpoints that are kept, of at most 80 kB each."""
_BUDGET, _KEPT = 128 << 20, 32 << 20
"""Bytes that the live engine holds, and that are held of what was read and of what each expert adds."""
_ROUNDING = 2.0**-21
_SUM = {"name": "task_arithmetic"}


@dataclass(frozen=True)
class Cut:
    """A part of one leaf that becomes a leaf of its own: these ranges of its elements, one after the other."""

    name: str
    shape: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Sample:
    """What is cut out of each model; the same for all of them."""

    cuts: tuple[Cut, ...]
    witnesses: tuple[Cut, ...] = ()
    """One element of every other block, so that a leaf's depth among the blocks stays what it is."""
    whole: bool = False
    """Whether it is one leaf from end to end, and not a part of it."""

    @property
    def elements(self) -> int:
        """The numbers that are looked at, of each model."""
        return sum(math.prod(cut.shape) for cut in self.cuts)


@dataclass(frozen=True, eq=False)
class Looked:
    """A merge of a sample at λ = 1 without layer scaling; n numbers of T models."""

    parts: torch.Tensor
    """[T, n]: what each expert would add alone, wₜτₜ; its weights instead of τₜ where there is no base."""
    merged: torch.Tensor
    """[n]: the merged vector; the merged weights where there is no base."""
    survive: float | None
    """The share of the experts' numbers that masks keep; nothing where the method combines weights."""


def scattered(space: ParameterSpace, *, rows: bool = True) -> Sample:
    """Cut runs of 128 numbers out of the leaves, at 64 places that lie evenly over the model.

    `rows`: whether the runs of one leaf are its rows; else the leaf is one vector.

    >>> from merging_core.space.depth import Depth
    >>> leaf = SpaceLeaf("w", "F32", (100, 100), 0, 10_000, Depth("", None, 0, "after"))
    >>> scattered(ParameterSpace((leaf,), (), 10_000)).elements
    8192
    """
    runs: dict[str, list[tuple[int, int]]] = {}
    leaves = {leaf.name: leaf for leaf in space.leaves}
    ordered = [leaf for leaf in space.leaves if leaf.elements]
    at = 0
    for point in range(_POINTS):
        middle = (2 * point + 1) * space.size // (2 * _POINTS)
        while ordered and ordered[at].stop <= middle:
            at += 1
        leaf = ordered[at]
        long = min(_RUN, leaf.elements)
        start = min(max(0, middle - leaf.start - long // 2), leaf.elements - long)
        spans = runs.setdefault(leaf.name, [])
        if not spans or start >= spans[-1][1]:
            spans.append((start, start + long))
    cuts = tuple(_cut(leaves[name], spans, rows=rows) for name, spans in runs.items())
    return Sample(cuts, _witnesses(space, runs))


def one_matrix(space: ParameterSpace, takes: Callable[[SpaceLeaf], bool]) -> Sample | None:
    """Cut out the leaf nearest the middle of the model that `takes` accepts; of a large one a corner of 144 × 144.

    Leaves that need no cutting come first. Nothing where no leaf is accepted.
    """
    accepted = [leaf for leaf in space.leaves if leaf.elements and takes(leaf)]
    if not accepted:
        return None

    def order(leaf: SpaceLeaf) -> tuple[bool, bool, int]:
        return (len(leaf.shape) != 2, max(leaf.shape) > _SIDE, abs(leaf.start + leaf.stop - space.size))  # noqa: PLR2004

    leaf = min(accepted, key=order)
    rows, *rest = leaf.shape
    inner = math.prod(rest)
    kept = [min(rest[0], _SIDE), *rest[1:]] if rest else []
    while kept and math.prod(kept) > _SIDE and kept[0] > 1 and len(kept) > 1:
        kept[0] = max(1, kept[0] // 2)
    high, wide = min(rows, _SIDE), math.prod(kept)
    spans = tuple((row * inner, row * inner + wide) for row in range(high))
    shape = (high, *kept)
    cut = Cut(leaf.name, shape, spans)
    return Sample((cut,), _witnesses(space, {leaf.name: []}), shape == leaf.shape)


class SampledMerges:
    """Carries out recipes on samples; safe to use from several threads. It opens nothing that it is not handed."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Checkpoint] = OrderedDict()
        self._lock = threading.Lock()
        self._engine = LiveEngine(self, "cpu", _BUDGET)
        self._kept = Residency(_KEPT)

    def open(self, ref: Ref | str, /) -> Checkpoint:
        """Return a small checkpoint that is held."""
        with self._lock:
            return self._held[str(ref)]

    def check_access(self, ref: Ref, /) -> None:
        """Allow it: whoever looks has opened the whole checkpoint."""

    def look(self, recipe: Recipe, sample: Sample, opened: Callable[[str], Checkpoint]) -> Looked:
        """Merge a sample of the recipe's checkpoints, which `opened` opens for whoever asks.

        Raises as reading them and as `LiveEngine.merge` do.
        """
        refs = [entry.ref for entry in recipe.models]
        known = {ref: opened(ref) for ref in (*([recipe.base] if recipe.base else []), *refs)}
        values = {ref: self._values(checkpoint, sample) for ref, checkpoint in known.items()}
        origin = values[recipe.base] if recipe.base is not None else None
        moved = {ref: _less(values[ref], origin) for ref in refs}
        zero = {name: torch.zeros_like(value) for name, value in values[refs[0]].items()}
        digest = self._digest(sample, [checkpoint.content() for checkpoint in known.values()])

        def held(what: str, of: Mapping[str, torch.Tensor], like: str) -> str:
            return self._hold(f"{digest}\n{what}", of, known[like])

        plain = {ref: held(f"moved {place}", moved[ref], ref) for place, ref in enumerate(refs)}
        still = held("zero", zero, refs[0])
        alone = [_document(recipe, still, [entry], plain, method=_SUM) for entry in recipe.models]
        parts = self._kept.get(str(alone), lambda: torch.stack([self._merged(document, sample) for document in alone]))
        if method(recipe.method.name).domain == "task_vector":
            document = _document(recipe, still, recipe.models, plain)
            return Looked(parts, self._merged(document, sample), self._survive(document))
        real = {ref: held(f"weights {place}", values[ref], ref) for place, ref in enumerate(refs)}
        base = None if origin is None else held("base", origin, str(recipe.base))
        measured = {
            entry.statistics: self._measured(digest, opened(entry.statistics), sample, self.open(real[entry.ref]))
            for entry in recipe.models
            if entry.statistics is not None
        }
        merged = self._merged(_document(recipe, base, recipe.models, {**real, **measured}), sample)
        return Looked(parts, merged if origin is None else _moved(merged, _flat(origin, sample)), None)

    def _measured(self, digest: str, statistics: Checkpoint, sample: Sample, expert: Checkpoint) -> str:
        """Keep what was measured of a sample as statistics of its small checkpoint, and return their reference."""
        cuts = [(cut.name, cut.shape, cut.spans) for cut in sample.cuts]
        values = {**sampled_statistics(statistics, cuts), **statistics_of(statistics, expert.content())}
        return self._hold(f"{digest}\nstatistics {statistics.content()}", values, statistics, LEARNED)

    def _values(self, checkpoint: Checkpoint, sample: Sample) -> dict[str, torch.Tensor]:
        return self._kept.get((checkpoint.content(), sample), lambda: read_sample(checkpoint, sample))

    def _merged(self, document: Mapping[str, object], sample: Sample) -> torch.Tensor:
        return _flat(self._engine.merge(parse_recipe(document)).weights, sample)

    def _survive(self, document: Mapping[str, object]) -> float:
        """Return the share of the experts' numbers that their masks keep."""
        found = self._engine.layers(parse_recipe(document))
        kept = sum(share * n for row in found.density for share, n in zip(row, found.elements, strict=True))
        return kept / max(1, len(found.density) * sum(found.elements))

    def _hold(self, what: str, values: Mapping[str, torch.Tensor], like: Checkpoint, scheme: str = "upload") -> str:
        """Keep numbers as a small checkpoint and return its reference, which is their name."""
        made = InMemory.named(what, values, like, scheme)
        ref = str(made.ref)
        with self._lock:
            self._held.setdefault(ref, made)
            self._held.move_to_end(ref)
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return ref

    @staticmethod
    def _digest(sample: Sample, contents: list[str]) -> str:
        return hashlib.sha256("\n".join([repr(sample), *contents]).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class InMemory(Checkpoint):
    """A checkpoint whose leaves are in memory."""

    values: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def named(cls, name: str, values: Mapping[str, torch.Tensor], like: Checkpoint, scheme: str = "upload") -> InMemory:
        """Return a checkpoint of these leaves with the configuration of another one.

        `name` tells its content from every other: reference and content follow from it.
        """
        content = hashlib.sha256(name.encode()).hexdigest()
        ref = f"{scheme}:{content if scheme == LEARNED else content[:32]}"
        leaves = {
            name: LeafHeader(name, dtype_name(value.dtype), tuple(value.shape), "", 0) for name, value in values.items()
        }
        return cls(parse_ref(ref), like.label, Path(), like.config, leaves, {}, None, content, values=values)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        yield _Held(self, self.values)


class _Held(Reading):
    def __init__(self, checkpoint: Checkpoint, values: Mapping[str, torch.Tensor]) -> None:
        super().__init__(checkpoint)
        self._values = values

    def read(self, name: str) -> torch.Tensor:
        return self._values[name]

    def read_range(
        self, name: str, start: int, stop: int, *, check: bool = True, room: Room | None = None
    ) -> torch.Tensor:
        return self._values[name].reshape(-1)[start:stop]


def _document(
    recipe: Recipe,
    base: str | None,
    models: Sequence[ModelEntry],
    names: Mapping[str, str],
    method: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Write a recipe over small checkpoints, at λ = 1 without layer scaling; with another method, without masks."""
    written = recipe.as_json()
    entries = [
        {
            **entry.as_json(),
            "ref": names[entry.ref],
            **({"statistics": names[entry.statistics]} if entry.statistics and entry.statistics in names else {}),
        }
        for entry in models
    ]
    document = {"version": recipe.version, "models": entries, "lambda": 1.0, "seed": recipe.seed}
    if base is not None:
        document["base"] = base
    if method is None:
        return {**document, "mask": written["mask"], "method": written["method"]}
    return {**document, "method": method, "models": [{"ref": one["ref"], "weight": one["weight"]} for one in entries]}


def _cut(leaf: SpaceLeaf, spans: Sequence[tuple[int, int]], *, rows: bool) -> Cut:
    long = spans[0][1] - spans[0][0]
    shape = (len(spans), long) if rows and len(leaf.shape) > 1 else (len(spans) * long,)
    return Cut(leaf.name, shape, tuple(spans))


def _witnesses(space: ParameterSpace, taken: Mapping[str, object]) -> tuple[Cut, ...]:
    """Return one element of the first leaf of each block that nothing was taken of."""
    seen = {leaf.depth for leaf in space.leaves if leaf.name in taken}
    found = []
    for leaf in space.leaves:
        if leaf.elements and leaf.depth.index is not None and leaf.depth not in seen:
            seen.add(leaf.depth)
            found.append(Cut(leaf.name, (1,), ((0, 1),)))
    return tuple(found)


def read_sample(checkpoint: Checkpoint, sample: Sample) -> dict[str, torch.Tensor]:
    """Return the numbers of a sample in float32, by leaf; raises as reading does."""
    with checkpoint.reading() as reading:
        return {
            cut.name: torch.cat([reading.read_range(cut.name, *span).float() for span in cut.spans]).view(cut.shape)
            for cut in (*sample.cuts, *sample.witnesses)
        }


def _less(values: dict[str, torch.Tensor], origin: Mapping[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
    return values if origin is None else {name: value - origin[name] for name, value in values.items()}


def _flat(values: Mapping[str, torch.Tensor], sample: Sample) -> torch.Tensor:
    return torch.cat([values[cut.name].reshape(-1) for cut in sample.cuts])


def _moved(merged: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Return how far merged weights are from the base; what rounding alone could leave is 0."""
    distance = merged - origin
    least = _ROUNDING * torch.maximum(merged.abs(), origin.abs())
    return torch.where(distance.abs() <= least, torch.zeros_like(distance), distance)
