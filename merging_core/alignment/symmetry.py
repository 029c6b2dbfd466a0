"""Symmetries of an architecture: which axes of which leaves may be permuted together without changing what is computed.

An *axis class* is a set of places, parts of axes of leaves, that are indexed by the same units: the neurons of a hidden
layer, the channels of a residual stream, the queries of one attention. A *group* says which permutations its classes
may have, alone or together. What belongs to no group stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy
from numpy.typing import NDArray

from merging_core.errors import Problem, SpaceError

__all__ = ["AxisClass", "Free", "Group", "Heads", "Indices", "Site", "Symmetry"]

Indices = NDArray[numpy.int64]
"""A permutation: entry i of what is new is entry `indices[i]` of what was."""


@dataclass(frozen=True)
class Site:
    """A part of an axis of a leaf. Unit i lies at offset + i·repeat to offset + (i + 1)·repeat − 1.

    `repeat`: how many neighbours belong to one unit, as the pixels of a channel that was flattened. `compared`: whether
    its values tell which units are alike; running statistics are permuted, but were not learned.
    """

    leaf: str
    axis: int
    offset: int = 0
    repeat: int = 1
    compared: bool = True


@dataclass(frozen=True)
class AxisClass:
    """Places that are indexed by the same `size` units."""

    name: str
    size: int
    sites: tuple[Site, ...]


class Group(Protocol):
    """Permutations that some axis classes may have together."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[AxisClass, ...]: ...

    def drawn(self, chance: numpy.random.Generator) -> dict[str, Indices]:
        """Draw a member: a permutation for each class, by its name."""

    def problem(self, member: Mapping[str, Indices]) -> str:
        """Say why permutations are no member of the group; empty where they are one."""


@dataclass(frozen=True)
class Free:
    """Any permutation of one axis class."""

    units: AxisClass

    @property
    def name(self) -> str:
        """The class's own."""
        return self.units.name

    @property
    def classes(self) -> tuple[AxisClass, ...]:
        """The one."""
        return (self.units,)

    def drawn(self, chance: numpy.random.Generator) -> dict[str, Indices]:
        """Draw any permutation."""
        return {self.name: chance.permutation(self.units.size)}

    def problem(self, member: Mapping[str, Indices]) -> str:
        """Say whether it is a permutation."""
        return _no_permutation(self.units, member)


@dataclass(frozen=True)
class Heads:
    """The heads of one attention, as a whole and within.

    `heads` query heads share `shared` heads of keys and values (as many where each has its own). Key heads are permuted
    with their query heads, query heads of one key head among themselves. Within a key head one permutation is tied
    between its keys and all its queries, unless they are `rotary`, and one between its values and what the output
    takes of it. `queries` and `outputs` have heads·width units, `keys` and `values` shared·width; the width of keys and
    of values may differ.
    """

    name: str
    heads: int
    shared: int
    queries: AxisClass
    keys: AxisClass
    values: AxisClass
    outputs: AxisClass
    rotary: bool = False

    @property
    def classes(self) -> tuple[AxisClass, ...]:
        """Queries, keys, values and outputs."""
        return self.queries, self.keys, self.values, self.outputs

    @property
    def widths(self) -> tuple[int, int]:
        """Units of one head: of queries and keys, and of values and outputs."""
        return self.keys.size // self.shared, self.values.size // self.shared

    def drawn(self, chance: numpy.random.Generator) -> dict[str, Indices]:
        """Draw permutations of key heads, of query heads within each, and within heads."""
        width, value_width = self.widths
        each = self.heads // self.shared
        order = chance.permutation(self.shared)
        queries = numpy.stack([chance.permutation(each) for _ in range(self.shared)])
        fixed = numpy.tile(numpy.arange(width), (self.shared, 1))
        tied = fixed if self.rotary else numpy.stack([chance.permutation(width) for _ in range(self.shared)])
        values = numpy.stack([chance.permutation(value_width) for _ in range(self.shared)])
        return self.made(order, queries, tied, values)

    def made(self, order: Indices, queries: Indices, tied: Indices, values: Indices) -> dict[str, Indices]:
        """Return the member of: key heads [shared], query heads of each [shared, each], and within each head.

        New key head g is old key head order[g]; its queries, keys and values are permuted by row g of the others.
        """
        each = self.heads // self.shared
        (width, value_width), heads = self.widths, order[:, None] * each + queries
        return {
            self.queries.name: (heads[:, :, None] * width + tied[:, None, :]).reshape(-1),
            self.keys.name: (order[:, None] * width + tied).reshape(-1),
            self.values.name: (order[:, None] * value_width + values).reshape(-1),
            self.outputs.name: (heads[:, :, None] * value_width + values[:, None, :]).reshape(-1),
        }

    def problem(self, member: Mapping[str, Indices]) -> str:
        """Say what is not tied as it must be."""
        for units in self.classes:
            if wrong := _no_permutation(units, member):
                return wrong
        width, value_width = self.widths
        each = self.heads // self.shared
        keys = member[self.keys.name].reshape(self.shared, width)
        values = member[self.values.name].reshape(self.shared, value_width)
        queries = member[self.queries.name].reshape(self.shared, each, width)
        order = keys[:, 0] // width
        parts = order, queries[:, :, 0] // width - order[:, None] * each, keys % width, values % value_width
        if self.rotary and (parts[2] != numpy.arange(width)).any():
            return "rotary queries and keys keep their order within a head"
        if (parts[1] < 0).any() or (parts[1] >= each).any():
            return "query heads stay with their key head"
        made = self.made(*parts)
        loose = [units.name for units in self.classes if (made[units.name] != member[units.name]).any()]
        return f"{', '.join(loose)} permuted otherwise than the heads they belong to" if loose else ""


@dataclass(frozen=True)
class Symmetry:
    """All groups of an architecture."""

    groups: tuple[Group, ...]

    @property
    def classes(self) -> Iterator[AxisClass]:
        """Every axis class."""
        return (units for group in self.groups for units in group.classes)

    def drawn(self, seed: int) -> dict[str, Indices]:
        """Draw a member of every group."""
        chance = numpy.random.default_rng(seed)
        return {name: indices for group in self.groups for name, indices in group.drawn(chance).items()}

    def identity(self) -> dict[str, Indices]:
        """Return the permutations that change nothing."""
        return {units.name: numpy.arange(units.size) for units in self.classes}

    def only(self, names: frozenset[str]) -> Symmetry:
        """Return the groups of these names."""
        return replace(self, groups=tuple(group for group in self.groups if group.name in names))

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise SpaceError with every place that no leaf has, or that two classes claim."""
        problems, taken = [], dict[tuple[str, int, int], str]()
        for units in self.classes:
            for site in units.sites:
                shape = shapes.get(site.leaf)
                end = site.offset + units.size * site.repeat
                if shape is None:
                    problems.append(Problem("a permuted leaf is one of the model's", "no such leaf", site.leaf))
                elif site.axis >= len(shape) or end > shape[site.axis]:
                    must = f"axis {site.axis} has {end} entries for {units.name}"
                    problems.append(Problem(must, str(list(shape)), site.leaf))
                elif (other := taken.setdefault((site.leaf, site.axis, site.offset), units.name)) != units.name:
                    problems.append(Problem("an axis belongs to one class", f"{other} and {units.name}", site.leaf))
        if problems:
            raise SpaceError(*problems)


def _no_permutation(units: AxisClass, member: Mapping[str, Indices]) -> str:
    found = member.get(units.name)
    if found is None:
        return f"{units.name} has no permutation"
    if found.shape != (units.size,) or (numpy.sort(found) != numpy.arange(units.size)).any():
        return f"{units.name} is no permutation of {units.size} units"
    return ""
