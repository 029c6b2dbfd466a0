"""Which of a data set's own splits is taken for train, validation and test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.sources.pictures import ALL, canonical_split

__all__ = ["in_words", "roles_of"]

Found = TypeVar("Found")


def roles_of(splits: Mapping[str, Found], named: Mapping[str, str], where: str) -> dict[str, Found]:
    """Return what a data set has for each role, by the names that were given or by what its splits are called.

    Splits that are none of train, validation and test, such as “extra”, are left out, unless there is only one of any
    name: that is the whole, which is divided by seed. Raises EvaluationError for a name that is none of the splits.

    >>> roles_of({"train": 1, "extra": 2, "dev": 3}, {}, "flags")
    {'train': 1, 'validation': 3}
    >>> roles_of({"everything": 1}, {}, "flags")
    {'all': 1}
    """
    unknown = [name for name in named.values() if name not in splits]
    if unknown:
        must = "the split is one of the data set's"
        raise EvaluationError(*(Problem(must, name[:60], where, closest(name[:60], splits)) for name in unknown))
    if named:
        return {role: splits[name] for role, name in named.items()}
    found = {role: one for name, one in splits.items() if (role := canonical_split(name)) is not None}
    if found:
        return found
    if len(splits) != 1:
        fix = f"say which is which; there are: {', '.join(sorted(splits)[:8])}"
        raise EvaluationError(Problem("a split is called train, validation or test", "none of these", where, fix))
    return {ALL: next(iter(splits.values()))}


def in_words(roles: Collection[str], seed: int) -> str:
    """Say where the four splits of a task come from.

    >>> in_words(["train", "test"], 0)
    'Test as the data divide them; train, calibration and validation made from train by seed 0, class by class.'
    """
    whole = next((role for role in ("train", ALL, "test", "validation") if role in roles), ALL)
    own = [role for role in ("validation", "test") if role in roles and role != whole]
    made = [role for role in ("train", "calibration", "validation", "test") if role not in own]
    given = f"{' and '.join(own)} as the data divide them; " if own else ""
    rest = "the data" if whole == ALL else whole
    sentence = f"{given}{', '.join(made[:-1])} and {made[-1]} made from {rest} by seed {seed}, class by class."
    return sentence[0].upper() + sentence[1:]
