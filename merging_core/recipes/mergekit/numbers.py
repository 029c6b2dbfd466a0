"""Arithmetic with numbers that may differ between leaves, as far as it can be said in a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from merging_core.methods.varying import Case, Number, Varying

__all__ = ["combined", "complete", "shares"]


def complete(number: Number) -> bool:
    """Say whether every leaf has a number.

    >>> complete(0.5), complete(Varying((Case("mlp", (1.0,)),)))
    (True, False)
    """
    return not isinstance(number, Varying) or number.complete


def combined(numbers: Sequence[Number], what: Callable[[Sequence[float]], float | None]) -> Number | None:
    """Return what becomes of several numbers in every leaf; None where `what` has no answer, or the leaves differ.

    Numbers may vary alike: with the same filters in the same order. Over depth each point is asked for, so `what`
    should be linear there; for a number that does not vary, its one value stands at every point.

    >>> halves = Varying((Case("mlp", (1.0,)), Case("", (0.5,))))
    >>> f"{combined([halves, 2.0], lambda pair: pair[0] * pair[1]):g}"
    '2 in mlp, else 1'
    """
    found = list[Case]()
    for part, cases in _alike(numbers):
        length = max(len(points) for points in cases)
        if any(len(points) not in (1, length) for points in cases):
            return None
        made = list[float]()
        for place in range(length):
            value = what([points[place] if len(points) > 1 else points[0] for points in cases])
            if value is None:
                return None
            made.append(value)
        found.append(Case(part, tuple(made)))
    if not found:
        return None
    only = found[0]
    return only.points[0] if not only.filter and len(only.points) == 1 else Varying(tuple(found))


def shares(numbers: Sequence[Number]) -> list[Number] | None:
    """Return each number as its share of their sum; None where that cannot be said.

    Over depth a share is a straight line only where the sum is the same at all points.

    >>> shares([1.0, 3.0]), shares([Varying((Case("", (0.0, 1.0)),)), 1.0])
    ([0.25, 0.75], None)
    """
    for _, cases in _alike(numbers):
        length = max(len(points) for points in cases)
        sums = [math.fsum(points[min(place, len(points) - 1)] for points in cases) for place in range(length)]
        if any(not math.isclose(total, sums[0], rel_tol=1e-12) for total in sums):
            return None

    def share(at: int) -> Number | None:
        def of(each: Sequence[float]) -> float | None:
            total = math.fsum(each)
            return each[at] / total if abs(total) > 1e-8 * math.fsum(map(abs, each)) else None

        return combined(numbers, of)

    found = [share(at) for at in range(len(numbers))]
    known = [number for number in found if number is not None]
    return known if len(known) == len(numbers) else None


def _alike(numbers: Sequence[Number]) -> Iterator[tuple[str, list[tuple[float, ...]]]]:
    """Go through the cases of numbers that vary alike: a filter, and the points of each. Nothing where they do not."""
    tables = [number.cases if isinstance(number, Varying) else (Case("", (number,)),) for number in numbers]
    filters = max(([case.filter for case in table] for table in tables), key=len)
    if any(len(table) > 1 and [case.filter for case in table] != filters for table in tables):
        return
    if any(len(table) == 1 and table[0].filter and filters != [table[0].filter] for table in tables):
        return
    for place, part in enumerate(filters):
        yield part, [table[place if len(table) > 1 else 0].points for table in tables]
