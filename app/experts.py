"""Which experts a method merges, where it does not take as many as there are: rules that never end in a refusal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["Takes", "exchanged", "first_of"]

Takes = tuple[int, int | None]
"""The fewest and the most models that a method takes."""


def first_of(present: Sequence[str], idle: Collection[str], family: Sequence[str], takes: Takes) -> list[str]:
    """Return as many experts as a method takes: of those present the first, idle ones last, then the family's next.

    >>> first_of(["a", "b", "c"], {"b"}, ["a", "b", "c", "d"], (2, 2))
    ['a', 'c']
    >>> first_of(["c"], set(), ["a", "b", "c", "d"], (2, None))
    ['c', 'd']
    """
    fewest, most = takes
    ordered = [ref for ref in present if ref not in idle] + [ref for ref in present if ref in idle]
    chosen = ordered[:most]
    return chosen + _next_ones(chosen, family, fewest - len(chosen))


def exchanged(wanted: Sequence[str], present: Sequence[str], family: Sequence[str], takes: Takes) -> list[str]:
    """Return what is merged when a visitor wants these experts and those were merged before.

    Too many: new ones take the places of the last that were there. Too few: the family's next that is in no use joins,
    but never the one that was just left out, unless there is no other.

    >>> exchanged(["a", "b", "d"], ["a", "b"], ["a", "b", "c", "d"], (2, 2))
    ['d', 'a']
    >>> exchanged(["b"], ["a", "b"], ["a", "b", "c", "d"], (2, 2))
    ['b', 'c']
    """
    fewest, most = takes
    new = [ref for ref in wanted if ref not in present]
    chosen = (new + [ref for ref in wanted if ref in present])[:most]
    missing = fewest - len(chosen)
    others = [ref for ref in family if ref not in present or ref in chosen]
    added = _next_ones(chosen, others, missing)
    return chosen + added + _next_ones([*chosen, *added], family, missing - len(added))


def _next_ones(chosen: Sequence[str], family: Sequence[str], count: int) -> list[str]:
    """Return the next `count` experts of a family that are not chosen yet, going round from the last chosen one."""
    last = max((place for place, ref in enumerate(family) if ref in chosen), default=-1)
    round_from = [*family[last + 1 :], *family[: last + 1]]
    return [ref for ref in round_from if ref not in chosen][: max(0, count)]
