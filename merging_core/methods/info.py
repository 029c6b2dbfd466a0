"""What a merge method, a mask or a layer scaling says about itself.

These records are the one definition from which the studio's controls, the recipe's schema, the YAML import, the
documentation and the tests are derived. They hold data only; the functions stand beside them in the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from merging_core.errors import Problem, closest

__all__ = ["ParameterInfo", "ParameterValue", "Source", "check_parameters"]

ParameterValue = float | int | bool | str


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
    """One number, switch or choice of a method, with everything that a control or a check needs.

    `minimum` and `maximum` bound what a recipe may hold; `slider` is the narrower range that a control offers first.
    """

    name: str
    title: str
    kind: Literal["number", "integer", "switch", "choice"]
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
            ok, must = value in self.choices, f"{self.name} is one of {', '.join(self.choices)}"
            if isinstance(value, str):
                advice = closest(value, self.choices)
        else:
            whole = "a whole number" if self.kind == "integer" else "a number"
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if self.kind == "integer":
                is_number = is_number and float(value) == int(value) if _finite(value) else False
            ok = is_number and _finite(value) and self._inside(float(value))  # type: ignore[arg-type]
            must = f"{self.name} lies in {self._range()}" if is_number else f"{self.name} is {whole}"
        return None if ok else Problem(must, repr(value), where, advice)

    def _inside(self, value: float) -> bool:
        above = self.minimum is None or (value > self.minimum if self.minimum_excluded else value >= self.minimum)
        return above and (self.maximum is None or value <= self.maximum)

    def _range(self) -> str:
        left = "(" if self.minimum_excluded or self.minimum is None else "["
        low = "−∞" if self.minimum is None else f"{self.minimum:g}"
        high = "∞)" if self.maximum is None else f"{self.maximum:g}]"
        return f"{left}{low}, {high}"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def check_parameters(
    given: dict[str, object], known: tuple[ParameterInfo, ...], where: str
) -> tuple[dict[str, ParameterValue], tuple[Problem, ...]]:
    """Fill in defaults and collect every problem of `given` against `known`.

    >>> values, problems = check_parameters({"densty": 1}, (ParameterInfo("density", "", "number", 0.2, ""),), "mask")
    >>> print(problems[0])
    mask.densty: parameters are known by name, but densty came; did you mean “density”?
    >>> values
    {'density': 0.2}
    """
    infos = {info.name: info for info in known}
    problems = [
        Problem("parameters are known by name", name, f"{where}.{name}", closest(name, infos))
        for name in given
        if name not in infos
    ]
    values: dict[str, ParameterValue] = {}
    for info in known:
        value = given.get(info.name, info.default)
        problem = info.problem(value, f"{where}.{info.name}")
        if problem is not None:
            problems.append(problem)
            continue
        if info.kind == "number":
            value = float(value)  # type: ignore[arg-type]
        elif info.kind == "integer":
            value = int(value)  # type: ignore[call-overload]
        values[info.name] = value  # type: ignore[assignment]
    return values, tuple(problems)
