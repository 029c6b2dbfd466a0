"""Reading allowlisted keys of a configuration that a stranger wrote; each has a type and a range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from merging_core.errors import EvaluationError, Problem

__all__ = ["ConfigReader", "is_number", "is_whole"]


class ConfigReader:
    """Reads keys of one JSON object and collects what is wrong with them; an absent or null key has its default."""

    def __init__(self, config: Mapping[str, Any], file: str = "config.json") -> None:
        self.config = config
        self.file = file
        self.problems: list[Problem] = []

    def whole(self, key: str, default: int | None, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        value = self._given(key, default)
        return int(value) if self._noted(key, value, is_whole(value, low, high), f"from {low} to {high}") else low

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        value = self._given(key, default)
        return (
            float(value) if self._noted(key, value, is_number(value, low, high), f"from {low:g} to {high:g}") else low
        )

    def switch(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._given(key, default)
        return bool(self._noted(key, value, isinstance(value, bool), "true or false") and value)

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """Return one of `choices`."""
        value = self._given(key, default)
        fits = isinstance(value, str) and value in choices
        return str(value) if self._noted(key, value, fits, f"one of {', '.join(choices)}") else choices[0]

    def refuse(self, key: str, must: str, got: str) -> None:
        """Note a problem with a key."""
        self.problems.append(Problem(must, got, f"{self.file}: {key}"))

    def done(self) -> None:
        """Raise EvaluationError with every problem noted, if there are any."""
        if self.problems:
            raise EvaluationError(*self.problems)

    def _given(self, key: str, default: Any) -> Any:
        value = self.config.get(key)
        return default if value is None else value

    def _noted(self, key: str, value: Any, fits: bool, what: str) -> bool:
        if not fits:
            self.refuse(key, f"{key} is {what}", repr(value)[:60])
        return fits


def is_whole(value: Any, low: int, high: int) -> bool:
    """Say whether a value is a whole number from `low` to `high`; true and false are not.

    >>> is_whole(3, 1, 4), is_whole(True, 0, 4), is_whole(3.0, 1, 4)
    (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, low: float, high: float) -> bool:
    """Say whether a value is a finite number from `low` to `high`.

    >>> is_number(0.5, 0, 1), is_number(float("nan"), 0, 1), is_number(False, 0, 1)
    (True, False, False)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high
