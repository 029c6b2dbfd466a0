"""Numbers that differ from leaf to leaf: over depth, by what stands in a leaf's name, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from merging_core.errors import Problem, closest, legible
from merging_core.space.depth import Depth

__all__ = [
    "Case",
    "Number",
    "Varying",
    "numbers_of",
    "one_number",
    "over",
    "plainest",
    "read_number",
    "varying_as_json",
]

_MOST_POINTS = 256
_MOST_CASES = 64
_LONGEST_FILTER = 200
_SHOWN = 40
_EVERY = "*"
"""How other tools write a filter that takes every leaf."""
_KEYS = ("filter", "value")


@dataclass(frozen=True)
class Case:
    """What a number is in the leaves in whose name `filter` stands; an empty filter takes every leaf."""

    filter: str
    points: tuple[float, ...]
    """One number, or several over depth, with straight lines between; leaves outside the blocks get the first."""

    def at(self, position: float) -> float:
        """Return the number at a position from 0, the first block, to 1, the last.

        >>> Case("", (0.0, 1.0, 4.0)).at(0.75), Case("", (0.5,)).at(0.3)
        (2.5, 0.5)
        """
        place = position * (len(self.points) - 1)
        below = min(int(place), len(self.points) - 1)
        above = min(below + 1, len(self.points) - 1)
        return self.points[below] + (self.points[above] - self.points[below]) * (place - below)

    def as_json(self) -> float | list[float]:
        """Return what stands for the points in a recipe."""
        return self.points[0] if len(self.points) == 1 else list(self.points)


@dataclass(frozen=True)
class Varying:
    """A number that may be another one in each leaf: the first case that takes the leaf decides.

    >>> halves = Varying((Case("attn", (0.7,)), Case("", (0.0, 1.0))))
    >>> inside = Depth("blocks", 1, 3, "inside")
    >>> halves.at("layers.1.attn.weight", inside), halves.at("layers.1.mlp.weight", inside)
    (0.7, 0.5)
    >>> f"{halves:g}"
    '0.7 in attn, else 0 … 1'
    """

    cases: tuple[Case, ...]

    @property
    def complete(self) -> bool:
        """Whether every leaf is taken by some case."""
        return not self.cases[-1].filter

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters of its cases, in order, without those that take every leaf."""
        return tuple(case.filter for case in self.cases if case.filter)

    def at(self, name: str, depth: Depth) -> float:
        """Return the number of one leaf; raises ValueError where no case takes it (see `over`)."""
        for case in self.cases:
            if case.filter in name:
                return case.at(depth.position if depth.side == "inside" else 0.0)
        raise ValueError(f"no case takes {name}")

    def as_json(self) -> list[object]:
        """Return the shortest form that a recipe holds: a list over depth, or a list of cases."""
        if not self.cases[0].filter:
            return list(self.cases[0].points)
        return [{**({"filter": case.filter} if case.filter else {}), "value": case.as_json()} for case in self.cases]

    def told(self, number: Callable[[float], str], named: Callable[[str], str] = legible) -> str:
        """Return it in words, with `number` giving the text of each number and `named` that of each filter."""
        told = list[str]()
        for case in self.cases:
            points = [number(point) for point in case.points]
            shown = " … ".join(points if len(points) <= 5 else [*points[:2], f"({len(points) - 3} more)", points[-1]])  # noqa: PLR2004
            part = named(case.filter if len(case.filter) <= _SHOWN else case.filter[:_SHOWN] + "…")
            told.append(f"{shown} in {part}" if case.filter else f"else {shown}" if told else shown)
        return ", ".join(told)

    def __format__(self, spec: str) -> str:
        return self.told(lambda point: format(point, spec))

    def __str__(self) -> str:
        return format(self, "g")


Number = float | Varying
"""One number for every leaf, or one that varies."""


def numbers_of(number: Number) -> tuple[float, ...]:
    """Return every number in it: what a leaf gets lies between the least and the largest of them.

    >>> numbers_of(0.5), numbers_of(Varying((Case("mlp", (0.0, 1.0)), Case("", (2.0,)))))
    ((0.5,), (0.0, 1.0, 2.0))
    """
    return tuple(point for case in number.cases for point in case.points) if isinstance(number, Varying) else (number,)


def one_number(number: Number) -> float:
    """Return a number that does not vary; raises TypeError if it does.

    >>> one_number(0.5)
    0.5
    """
    if isinstance(number, Varying):
        raise TypeError(f"{number} is not one number")
    return number


def over(number: Number, otherwise: Number) -> Number:
    """Return a number that is `otherwise` in the leaves that no case of `number` takes.

    >>> f"{over(Varying((Case('attn', (0.7,)),)), 0.5):g}"
    '0.7 in attn, else 0.5'
    """
    if not isinstance(number, Varying) or number.complete:
        return number
    rest = otherwise.cases if isinstance(otherwise, Varying) else (Case("", (otherwise,)),)
    return Varying((*number.cases, *rest))


def plainest(number: Number) -> Number:
    """Return the same number without cases and points that change nothing, so that equal numbers have one form.

    >>> plainest(Varying((Case("", (0.5, 0.5)),))), plainest(Varying((Case("mlp", (1.0,)), Case("", (1.0,)))))
    (0.5, 1.0)
    """
    if not isinstance(number, Varying):
        return number
    kept: list[Case] = []
    for case in number.cases:
        # A leaf that a later filter takes was taken before if an earlier filter stands in that filter.
        if not any(earlier.filter in case.filter for earlier in kept):
            kept.append(replace(case, points=case.points[:1]) if len(set(case.points)) == 1 else case)
    while not kept[-1].filter and len(kept) > 1 and kept[-2].points == kept[-1].points:
        del kept[-2]
    return kept[0].points[0] if not kept[0].filter and len(kept[0].points) == 1 else Varying(tuple(kept))


def varying_as_json(value: object) -> object:
    """Return a value as JSON, whether it varies or not.

    >>> varying_as_json(0.5), varying_as_json(Varying((Case("", (0.0, 1.0)),)))
    (0.5, [0.0, 1.0])
    """
    return value.as_json() if isinstance(value, Varying) else value


def read_number(
    given: object, where: str, problem_of: Callable[[object, str], Problem | None], shown: Callable[[object], str]
) -> tuple[Number | None, tuple[Problem, ...]]:
    """Read a number, a list over depth or a list of cases, as JSON gives it: the number, or every problem.

    `problem_of(value, where)` judges each single number; `shown` writes a value for a message.

    >>> read_number([0, 1], "lambda", lambda value, where: None, repr)
    (Varying(cases=(Case(filter='', points=(0.0, 1.0)),)), ())
    """
    if isinstance(given, Varying):
        given = given.as_json()
    if isinstance(given, Mapping):
        fix = "put it into a list"
        return None, (
            Problem("a number, numbers over depth, or a list of cases stands here", shown(given), where, fix),
        )
    if not isinstance(given, list | tuple):
        problem = problem_of(given, where)
        return (None, (problem,)) if problem is not None else (float(given) + 0.0, ())  # type: ignore[arg-type]
    if not any(isinstance(item, Mapping) for item in given):
        points, problems = _points(given, where, problem_of)
        return (None, problems) if problems else (_made([Case("", points)]), ())
    if len(given) > _MOST_CASES:
        return None, (Problem(f"there are at most {_MOST_CASES} cases", str(len(given)), where, "use fewer"),)
    cases, wrong = list[Case](), list[Problem]()
    for index, item in enumerate(given):
        case, found = _case(item, f"{where}[{index}]", problem_of, shown)
        wrong += found
        if case is not None:
            cases.append(case)
    wrong += _hidden(given, where)
    return (None, tuple(wrong)) if wrong else (_made(cases), ())


def _made(cases: list[Case]) -> Number:
    only = cases[0]
    return only.points[0] if not only.filter and len(only.points) == 1 else Varying(tuple(cases))


def _points(
    given: Sequence[object], where: str, problem_of: Callable[[object, str], Problem | None]
) -> tuple[tuple[float, ...], tuple[Problem, ...]]:
    if not 1 <= len(given) <= _MOST_POINTS:
        must = f"a list over depth has 1 to {_MOST_POINTS} numbers"
        return (), (Problem(must, f"{len(given) or 'none'}", where, "write one number"),)
    found = [problem_of(point, f"{where}[{index}]") for index, point in enumerate(given)]
    problems = tuple(problem for problem in found if problem is not None)
    return ((), problems) if problems else (tuple(float(point) + 0.0 for point in given), ())  # type: ignore[arg-type]


def _case(
    given: object,
    where: str,
    problem_of: Callable[[object, str], Problem | None],
    shown: Callable[[object], str],
) -> tuple[Case | None, list[Problem]]:
    if not isinstance(given, Mapping):
        return None, [Problem("a case is a mapping", shown(given), where, "write {filter: mlp, value: 0.5}")]
    problems = []
    for key in given:
        if key not in _KEYS:
            problems.append(Problem("a case has filter and value", shown(key), where, closest(str(key)[:80], _KEYS)))
    part = given.get("filter", _EVERY)
    if not isinstance(part, str) or not 1 <= len(part) <= _LONGEST_FILTER:
        must = f"a filter is a part of a leaf’s name, of 1 to {_LONGEST_FILTER} characters"
        problems.append(Problem(must, shown(part), f"{where}.filter", "leave filter out to take every leaf"))
    if "value" not in given:
        problems.append(Problem("a case has a value", "nothing", f"{where}.value", "write value: 0.5"))
        return None, problems
    value, place = given["value"], f"{where}.value"
    points: tuple[float, ...] = ()
    if isinstance(value, list | tuple):
        points, wrong = _points(value, place, problem_of)
        problems += wrong
    else:
        problem = problem_of(value, place)
        if problem is not None:
            problems.append(problem)
        else:
            points = (float(value) + 0.0,)
    return (None, problems) if problems else (Case("" if part == _EVERY else str(part), points), [])


def _hidden(given: Sequence[object], where: str) -> list[Problem]:
    """Say which cases stand behind one that takes every leaf."""
    every = [
        index for index, item in enumerate(given) if isinstance(item, Mapping) and item.get("filter", _EVERY) == _EVERY
    ]
    if not every or every[0] == len(given) - 1:
        return []
    must = "the case that takes every leaf is the last"
    got = f"{len(given) - 1 - every[0]} behind it, which nothing can reach"
    return [Problem(must, got, f"{where}[{every[0]}]", "move it to the end, or give it a filter")]
