"""The forms of the numbers that a result holds, checked when a file comes from outside.

The same shapes as in docs/architecture.md. What a result keeps is what these forms name: `kept` drops everything else
when a result is made, and `checked` refuses it when a file is read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from merging_core.errors import BasinError, Problem, closest
from merging_core.methods.info import shown

__all__ = ["Accuracy", "Layers", "Path", "ResultError", "checked", "kept"]

_MOST = 64
"""Tasks, experts or depths of one result."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(max_length=200)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Colour = Annotated[int, Field(ge=0, le=1000)] | None
T = TypeVar("T")
Few = Annotated[list[T], Field(max_length=_MOST)]


class ResultError(BasinError):
    """A file does not hold a result, or what it holds cannot be."""


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _Measured(_Form):
    """An accuracy inside its interval."""

    accuracy: Share
    interval: Bounds | None
    loss: float | None

    @model_validator(mode="after")
    def _inside(self) -> _Measured:
        low, high = self.interval or (self.accuracy, self.accuracy)
        if not 0.0 <= low <= self.accuracy + 1e-9 <= high + 2e-9 or high > 1.0 + 1e-9:
            raise ValueError("an accuracy lies in its interval, and that in [0, 1]")
        return self


class _References(_Form):
    base: Share | None = None
    expert: Share | None = None
    average: Share | None = None
    ensemble: Share | None = None


class _Task(_Measured):
    task: Name
    title: Words
    colour: Colour
    n: Count
    references: _References


class _Average(_Measured):
    references: _References


class _Ratio(_Form):
    value: float
    interval: Bounds | None


class Accuracy(_Form):
    """Accuracy per task on a whole split."""

    split: Literal["validation", "test"]
    subset: Literal["full"]
    n: Count
    partial: Literal[False]
    transductive: bool
    tasks: Annotated[list[_Task], Field(min_length=1, max_length=_MOST)]
    average: _Average
    normalised: _Ratio | None

    @model_validator(mode="after")
    def _adds_up(self) -> Accuracy:
        if self.n != sum(task.n for task in self.tasks):
            raise ValueError("n is the sum over the tasks")
        mean = sum(task.accuracy for task in self.tasks) / len(self.tasks)
        if abs(mean - self.average.accuracy) > 1e-6:
            raise ValueError("the average is the mean of the tasks’ accuracies")
        if len({task.task for task in self.tasks}) < len(self.tasks):
            raise ValueError("each task stands once")
        return self


class _PathTask(_Form):
    task: Name | None
    title: Words
    colour: Colour


class _PointTask(_Form):
    loss: float | None
    accuracy: Share


class _Point(_Form):
    t: float
    loss: float
    accuracy: Share
    interval: Bounds
    tasks: Few[_PointTask]


class _Curve(_Form):
    n: Count
    of: Count
    points: Annotated[list[_Point], Field(max_length=200)]


class _Barrier(_Form):
    height: float | None
    at: float
    midpoint_gap: float | None


class _Barriers(_Form):
    loss: _Barrier
    error: _Barrier


class _Splits(_Form):
    validation: _Curve
    train: _Curve | None = None


class _SplitBarriers(_Form):
    validation: _Barriers
    train: _Barriers | None = None


class Path(_Form):
    """Loss and accuracy along λ, as far as they were measured."""

    kind: Literal["lambda"]
    a: Words
    b: Words
    range: Bounds
    current: float | None
    complete: bool
    tasks: Few[_PathTask]
    splits: _Splits
    barrier: _SplitBarriers

    @model_validator(mode="after")
    def _fits(self) -> Path:
        if self.range[0] >= self.range[1]:
            raise ValueError("a path runs from a lower to a higher λ")
        for curve in (self.splits.validation, self.splits.train):
            ts = [point.t for point in curve.points] if curve else []
            if ts != sorted(set(ts)):
                raise ValueError("the points of a path stand in order, each once")
            if curve and any(len(point.tasks) != len(self.tasks) for point in curve.points):
                raise ValueError("each point has every task")
        return self


class _LayerExpert(_Form):
    ref: Name
    title: Words
    colour: Colour
    norms: Few[float | None]


class _ScalingPoint(_Form):
    index: Annotated[int, Field(ge=0, le=_MOST)]
    value: float | None


class _Scaling(_Form):
    kind: Name
    points: Few[_ScalingPoint]
    draggable: bool


class Layers(_Form):
    """What the merge does over depth."""

    depths: Annotated[list[Name], Field(min_length=1, max_length=_MOST)]
    factors: Few[float | None]
    kept: Few[Few[float | None]] | None
    conflict: Few[float | None]
    merged_norms: Few[float | None]
    experts: Few[_LayerExpert]
    cosines: Few[Few[float | None]]
    scaling: _Scaling
    alpha: float | None

    @model_validator(mode="after")
    def _fits(self) -> Layers:
        rows = [
            self.factors,
            self.conflict,
            self.merged_norms,
            *(one.norms for one in self.experts),
            *(self.kept or []),
        ]
        if any(len(row) != len(self.depths) for row in rows):
            raise ValueError("there is one number for each depth")
        return self


Form = TypeVar("Form", bound=_Form)


def kept(form: type[Form], numbers: dict[str, Any]) -> dict[str, Any]:
    """Return of our own numbers what the form names.

    Raises: `ResultError` if they do not have the form.
    """
    return _parsed(form, numbers, form.__name__.lower()).model_dump(mode="json")


def checked(form: type[Form], given: object, where: str) -> dict[str, Any]:
    """Return numbers from outside if they have the form, and nothing beside it.

    Raises: `ResultError` with every problem.

    >>> try:
    ...     checked(_Ratio, {"value": "1", "interval": None, "more": 1}, "ratio")
    ... except ResultError as error:
    ...     print(error)
    ratio.value: input should be a valid number, but '1' came.
    """
    found = _parsed(form, given, where).model_dump(mode="json")
    strangers = list(_strangers(given, found, where))
    if strangers:
        raise ResultError(*strangers)
    return found


def _parsed(form: type[Form], given: object, where: str) -> Form:
    try:
        return form.model_validate(given)
    except ValidationError as error:
        problems = []
        for one in error.errors(include_url=False)[:20]:
            place = where + "".join(f"[{key}]" if isinstance(key, int) else f".{key[:60]}" for key in one["loc"])
            message = one["msg"].removeprefix("Value error, ")
            must = message[:1].lower() + message[1:]
            problems.append(Problem(must, "nothing" if one["type"] == "missing" else _shown(one["input"]), place))
        raise ResultError(*problems) from None


def _strangers(given: object, found: object, where: str) -> list[Problem]:
    """Say which keys a form does not know."""
    problems: list[Problem] = []
    if isinstance(given, dict) and isinstance(found, dict):
        for key, value in given.items():
            if key not in found:
                name = shown(key, quoted=False)
                must = "the keys of a result are known by name"
                problems.append(Problem(must, name, f"{where}.{name}", closest(name, found)))
            else:
                problems += _strangers(value, found[key], f"{where}.{key}")
    elif isinstance(given, list) and isinstance(found, list):
        for place, (inner, kept_) in enumerate(zip(given, found, strict=True)):
            problems += _strangers(inner, kept_, f"{where}[{place}]")
    return problems[:20]


def _shown(value: object) -> str:
    return "another one" if isinstance(value, dict | list) and len(value) > 4 else shown(value)
