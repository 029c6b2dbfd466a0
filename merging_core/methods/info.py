"""What a merge method, a mask or a layer scaling says about itself.

These records are the one definition from which the studio's controls, the recipe's schema, the YAML import, the
documentation and the tests are derived. `Description` holds what all three share; `MethodInfo`, `MaskInfo` and
`ScalingInfo` add their own stages and their pure function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from merging_core.errors import Problem, closest, legible
from merging_core.methods.varying import Number, Varying, over, read_number, varying_as_json

__all__ = ["Description", "ParameterInfo", "ParameterValue", "Parameters", "Source", "check_parameters", "shown"]

ParameterValue = float | int | bool | str | tuple[float, ...] | Varying


class Parameters(Mapping[str, ParameterValue]):
    """Named values that cannot change, so that they may be part of a key.

    >>> settings = Parameters(scope="model", density=0.2)
    >>> settings["density"], settings == Parameters(density=0.2, scope="model"), {settings: 1}[settings]
    (0.2, True, 1)
    """

    __slots__ = ("_items",)

    def __init__(self, values: Mapping[str, ParameterValue] | None = None, /, **named: ParameterValue) -> None:
        self._items = dict(sorted({**(values or {}), **named}.items()))

    def __getitem__(self, name: str) -> ParameterValue:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return f"Parameters({', '.join(f'{name}={value!r}' for name, value in self._items.items())})"

    def number(self, name: str) -> float:
        """Return a parameter that is known to be one number; raises TypeError if it is none, or varies.

        >>> Parameters(density=0.2).number("density")
        0.2
        """
        value = self._items[name]
        if isinstance(value, str | tuple | Varying):
            raise TypeError(f"{name} is no number: {value!r}")
        return float(value)

    def varying(self, name: str) -> Number:
        """Return a parameter that is known to be a number, which may vary; raises TypeError if it is none.

        >>> Parameters(density=1).varying("density")
        1.0
        """
        value = self._items[name]
        return value if isinstance(value, Varying) else self.number(name)

    def each(self, name: str, count: int) -> tuple[float, ...]:
        """Return a parameter for each of so many models: where models have their own, it holds one number for each.

        >>> Parameters(agreement=0.4).each("agreement", 2), Parameters(agreement=(0.4, 0.2)).each("agreement", 2)
        ((0.4, 0.4), (0.4, 0.2))
        """
        value = self._items[name]
        return value if isinstance(value, tuple) else (self.number(name),) * count

    def changed(self, **named: ParameterValue) -> Parameters:
        """Return these values with some of them replaced.

        >>> Parameters(density=0.2).changed(density=0.3)
        Parameters(density=0.3)
        """
        return Parameters(self, **named)

    def as_json(self) -> dict[str, object]:
        """Return plain JSON values.

        >>> Parameters(points=(0.0, 1.0)).as_json()
        {'points': [0.0, 1.0]}
        """
        return {
            name: list(value) if isinstance(value, tuple) else varying_as_json(value)
            for name, value in self._items.items()
        }


@dataclass(frozen=True)
class Source:
    """Where a formula comes from, and where we deviate from it."""

    authors: str
    year: int
    title: str
    url: str
    place: str = ""
    """Equation, algorithm or section."""
    deviation: str = ""
    """What we do otherwise and why; empty if nothing."""


@dataclass(frozen=True)
class ParameterInfo:
    """One number, switch, choice or curve of a method, with everything that a control or a check needs.

    `minimum` and `maximum` bound what a recipe may hold; `slider` is the narrower range that a control offers first.
    A `curve` is a list of numbers; the bounds hold for each, `lengths` for how many there may be.
    """

    name: str
    title: str
    kind: Literal["number", "integer", "switch", "choice", "curve"]
    default: ParameterValue
    help: str
    """One sentence."""
    minimum: float | None = None
    maximum: float | None = None
    minimum_excluded: bool = False
    step: float = 0.01
    slider: tuple[float, float] | None = None
    unit: str = ""
    """Such as “fraction kept”; empty for a pure number."""
    choices: tuple[str, ...] = ()
    per_model: bool = False
    """Whether `models[i].params` may override it for one expert."""
    per_leaf: bool = False
    """Whether a number may be another one in each leaf: a list over depth, or cases by parts of names."""
    only_when: tuple[str, *tuple[ParameterValue, ...]] | None = None
    """Another parameter and the values of which it must have one for this one to exist: ("alpha_rule", "value")."""
    lengths: tuple[int, int] = (2, 64)
    later: bool = False
    """Whether recipes were made before there was this parameter: at its default their identity does not mention it."""

    def problem(self, value: object, where: str) -> Problem | None:
        """Say what is wrong with `value`, or nothing.

        >>> density = ParameterInfo("density", "Density", "number", 0.2, "Fraction kept.", 0.0, 1.0, True)
        >>> print(density.problem(0.0, "mask.density"))
        mask.density: density lies in (0, 1], but 0.0 came; the default is 0.2.
        >>> density.problem(1, "mask.density") is None
        True
        """
        advice = f"the default is {self.default}"
        if self.kind == "switch":
            ok, must = isinstance(value, bool), f"{self.name} is true or false"
        elif self.kind == "choice":
            ok = isinstance(value, str) and value in self.choices
            must = f"{self.name} is one of {', '.join(self.choices)}"
            if isinstance(value, str):
                advice = closest(value, self.choices)
        elif self.kind == "curve":
            low, high = self.lengths
            must = f"{self.name} holds {low} to {high} numbers in {self.range()}"
            ok = isinstance(value, list | tuple) and low <= len(value) <= high and all(map(self._is_inside, value))
            advice = f"the default is {_listed(self.default)}"
        else:
            whole = "a whole number" if self.kind == "integer" else "a number"
            number = _as_number(value)
            is_number = number is not None and (self.kind == "number" or _is_whole(number))
            ok = is_number and self._is_inside(value)
            must = f"{self.name} lies in {self.range()}" if is_number else f"{self.name} is {whole}"
        return None if ok else Problem(must, shown(value), where, advice)

    def problems(self, value: object, where: str) -> tuple[Problem, ...]:
        """Say everything that is wrong with `value`, which may vary if the parameter may.

        >>> density = ParameterInfo("density", "Density", "number", 0.2, "Kept.", 0.0, 1.0, per_leaf=True)
        >>> cases = [{"filter": "mlp", "value": 2}, {"value": [0.1, -1]}]
        >>> [problem.where for problem in density.problems(cases, "density")]
        ['density[0].value', 'density[1].value[1]']
        """
        if self.per_leaf:
            return read_number(value, where, self.problem, shown)[1]
        if self.kind in ("number", "integer") and isinstance(value, list | tuple | Mapping | Varying):
            must = f"{self.name} is one number for the whole model"
            return (Problem(must, shown(value), where, f"the default is {self.default}"),)
        problem = self.problem(value, where)
        return () if problem is None else (problem,)

    def coerced(self, value: object) -> ParameterValue:
        """Return a value that `problems` accepts in its one type, so that 1 and 1.0 are the same recipe.

        >>> ParameterInfo("density", "Density", "number", 0.2, "Fraction kept.").coerced(1)
        1.0
        """
        if self.kind == "number":
            return self._number(value)
        if self.kind == "integer":
            return int(value)  # type: ignore[call-overload, no-any-return]
        if self.kind == "curve":
            return tuple(float(point) + 0.0 for point in value)  # type: ignore[attr-defined]
        return value  # type: ignore[return-value]

    def _number(self, value: object) -> Number:
        found, _ = read_number(value, self.name, self.problem, shown) if self.per_leaf else (float(value) + 0.0, ())  # type: ignore[arg-type]
        if found is None:
            raise TypeError(f"{self.name} is no number: {value!r}")
        return found

    def filled(self, value: ParameterValue) -> ParameterValue:
        """Return a value with the default in the leaves that no case of it takes.

        >>> info = ParameterInfo("t", "t", "number", 0.5, "Share.", per_leaf=True)
        >>> f"{info.filled(info.coerced([{'filter': 'mlp', 'value': 1}])):g}"
        '1 in mlp, else 0.5'
        """
        return over(value, self.default) if isinstance(value, Varying) and isinstance(self.default, float) else value

    def range(self) -> str:
        """Return what numbers may be, in interval notation.

        >>> ParameterInfo("density", "Density", "number", 0.2, "Fraction kept.", 0.0, 1.0, True).range()
        '(0, 1]'
        """
        left = "(" if self.minimum_excluded or self.minimum is None else "["
        low = "−∞" if self.minimum is None else f"{self.minimum:.16g}"
        high = "∞)" if self.maximum is None else f"{self.maximum:.16g}]"
        return f"{left}{low}, {high}"

    def as_json(self) -> dict[str, object]:
        """Return everything a control needs."""
        return {name: value for name, value in asdict(self).items() if name != "later"}

    def _is_inside(self, value: object) -> bool:
        number = _as_number(value)
        if number is None or not _is_finite(number):
            return False
        if self.minimum is not None and (number < self.minimum or (self.minimum_excluded and number == self.minimum)):
            return False
        return self.maximum is None or number <= self.maximum


@dataclass(frozen=True, kw_only=True)
class Description:
    """What methods, masks and layer scalings all say about themselves.

    `formula` is plain text in Unicode without `<`, `>` or `&`, so that it may stand in a page, a terminal or a table.
    """

    name: str
    title: str
    formula: str
    summary: str
    """One sentence that someone new to merging understands."""
    source: Source
    parameters: tuple[ParameterInfo, ...] = ()

    def defaults(self) -> Parameters:
        """Return the default of each parameter that exists when all others have their defaults."""
        values, _ = check_parameters({}, self.parameters, self.name)
        return Parameters(values)

    def describe(self) -> dict[str, object]:
        """Return what all kinds share, as JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "formula": self.formula,
            "summary": self.summary,
            "source": asdict(self.source),
            "parameters": [parameter.as_json() for parameter in self.parameters],
        }


def check_parameters(
    given: Mapping[str, object], known: tuple[ParameterInfo, ...], where: str
) -> tuple[dict[str, ParameterValue], tuple[Problem, ...]]:
    """Fill in defaults and collect every problem of `given` against `known`.

    A parameter with `only_when` is left out where its condition does not hold, and is a problem if it was given.

    >>> values, problems = check_parameters({"densty": 1}, (ParameterInfo("density", "", "number", 0.2, ""),), "mask")
    >>> print(problems[0])
    mask.densty: parameters are known by name, but densty came; did you mean “density”?
    >>> values
    {'density': 0.2}
    """
    infos = {info.name: info for info in known}
    problems = [_unknown(name, infos, where) for name in given if name not in infos]
    values: dict[str, ParameterValue] = {}
    for info in known:
        if info.only_when is not None:
            other, *needed = info.only_when
            if given.get(other, infos[other].default) not in needed:
                if info.name in given:
                    must = f"{info.name} stands only beside {other} {' or '.join(map(str, needed))}"
                    problems.append(Problem(must, shown(given[info.name]), f"{where}.{info.name}", "leave it out"))
                continue
        value = given.get(info.name, info.default)
        wrong = info.problems(value, f"{where}.{info.name}")
        problems += wrong
        if not wrong:
            values[info.name] = info.filled(info.coerced(value))
    return values, tuple(problems)


def _unknown(name: str, known: Mapping[str, ParameterInfo], where: str) -> Problem:
    got = shown(name, quoted=False)
    return Problem("parameters are known by name", got, f"{where}.{got}", closest(str(name)[:80], known))


def shown(value: object, *, quoted: bool = True) -> str:
    """Return a value as a message may show it: short, printable, and never failing.

    >>> shown("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"
    >>> shown(10**5000)
    'a whole number of more than 300 digits'
    """
    if isinstance(value, int) and not isinstance(value, bool) and not _is_finite(value):
        return "a whole number of more than 300 digits"
    if isinstance(value, list | tuple | dict) and len(value) > 8:
        return f"{'a mapping' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, list | tuple):
        text = (
            "[" + ", ".join(shown(item) if not isinstance(item, list | tuple | dict) else "…" for item in value) + "]"
        )
    elif isinstance(value, dict):
        text = "{" + ", ".join(shown(name, quoted=False) for name in value) + "}"
    else:
        text = repr(value) if quoted else legible(str(value))
    return text if len(text) <= 60 else text[:60] + "…"


def _listed(value: ParameterValue) -> str:
    return ", ".join(f"{point:g}" for point in value) if isinstance(value, tuple) else str(value)


def _as_number(value: object) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_whole(value: float | int) -> bool:
    return isinstance(value, int) or value.is_integer()


def _is_finite(value: float | int) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
