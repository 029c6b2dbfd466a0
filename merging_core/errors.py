"""Everything that can go wrong, as sentences.

    BasinError                  carries one or more problems; its text is safe to show to a visitor
    ├── CheckpointError         a reference, folder or file is not a checkpoint that can be read
    │   └── NonFiniteError      a leaf holds NaN or infinity (found when it is first read)
    ├── SpaceError              checkpoints do not share one parameter space
    ├── RecipeError             a recipe is malformed, or asks for what its method cannot do
    ├── PlanError               a recipe cannot be carried out on these checkpoints or this machine
    ├── EvaluationError         a task, head or split does not fit the model that is evaluated
    ├── HubError                the Hub refused, cannot be reached, or holds something else than was expected
    │   ├── HubAccessError      missing, private or gated, or the token is not accepted: this visitor cannot have it
    │   └── HubAwayError        offline, timed out, rate limited or out of order: it may work later
    ├── LinkError               a share link is damaged, too long, or of an unknown version
    └── CancelledError          the work was cancelled, or a newer request took its place

Each problem says what must hold, what came instead, where, and what to do. Deep code raises a short error;
whoever knows more (the model's label, the file) adds it once with `located`. Problems are collected, then raised
together: a visitor who made three mistakes reads three sentences, not one after the other.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = [
    "BasinError",
    "CancelledError",
    "CheckpointError",
    "EvaluationError",
    "HubAccessError",
    "HubAwayError",
    "HubError",
    "LinkError",
    "NonFiniteError",
    "PlanError",
    "Problem",
    "RecipeError",
    "SpaceError",
    "closest",
    "disk_is_full",
    "legible",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    >>> print(Problem("density lies in (0, 1]", "1.5", "mask.density", "use 0.2 to keep a fifth"))
    mask.density: density lies in (0, 1], but 1.5 came; use 0.2 to keep a fifth.
    """

    must: str
    """What must hold, as a clause without a full stop."""
    got: str
    """What came instead."""
    where: str = ""
    """Model, leaf or field, outermost first; empty where only the caller knows."""
    fix: str = ""
    """What to do about it."""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"; {self.fix}" if self.fix else ""
        end = "" if advice.endswith("?") else "."
        return f"{place}{self.must}, but {self.got} came{advice}{end}"

    def located(self, outer: str) -> Problem:
        """Return the same problem with `outer` put before its place.

        >>> Problem("n ≥ 1", "0", "n").located("zoo:tiny/digits").where
        'zoo:tiny/digits: n'
        """
        return replace(self, where=f"{outer}: {self.where}" if self.where else outer)

    def as_json(self) -> dict[str, str]:
        """Return the problem with its sentence, for `--json` and for the browser."""
        return {"must": self.must, "got": self.got, "where": self.where, "fix": self.fix, "sentence": str(self)}


class BasinError(Exception):
    """One or more problems that a person can read and act on.

    >>> error = RecipeError(Problem("models is not empty", "[]", "models", "add an expert"))
    >>> str(error)
    'models: models is not empty, but [] came; add an expert.'
    """

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("an error must carry at least one problem")
        self.problems: tuple[Problem, ...] = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def located(self, outer: str) -> BasinError:
        """Return the same error with `outer` put before the place of each problem."""
        return type(self)(*(problem.located(outer) for problem in self.problems))


class CheckpointError(BasinError):
    """A reference names nothing, or what it names is not a checkpoint we accept."""


class NonFiniteError(CheckpointError):
    """A leaf holds NaN or infinity; headers cannot show this, the first read does."""


class SpaceError(BasinError):
    """Checkpoints that should share a parameter space do not: other leaves, shapes or architecture."""


class RecipeError(BasinError):
    """A recipe is malformed, or combines what does not combine."""


class PlanError(BasinError):
    """A well-formed recipe cannot be carried out on these checkpoints or on this machine."""


class EvaluationError(BasinError):
    """A task, head or split does not fit the model that is to be evaluated."""


class HubError(BasinError):
    """The Hub refused, cannot be reached, or holds something else than was expected."""


class HubAccessError(HubError):
    """What was asked for is missing, private or gated for this token, or the token is not accepted."""


class HubAwayError(HubError):
    """The Hub cannot be reached, limits requests or is out of order; the same request may work later."""


class LinkError(BasinError):
    """A share link cannot be read."""


class CancelledError(BasinError):
    """The work was cancelled, or a newer request took its place."""


def disk_is_full(error: OSError) -> bool:
    """Say whether it is the disk's room, or the room that is left to this user, that ran out.

    >>> disk_is_full(OSError(errno.ENOSPC, "No space left on device")), disk_is_full(OSError(errno.EACCES, "no"))
    (True, False)
    """
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def legible(text: str) -> str:
    r"""Return a text with every character that does not print spelt out, so that it can do nothing to a terminal.

    >>> legible("λ\x1b[31m\n")
    'λ\\x1b[31m\\n'
    """
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def closest(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest to `name`, or list them all.

    >>> closest("tais", ["linear", "ties"])
    'did you mean “ties”?'
    >>> closest("zebra", ["linear", "ties"])
    'known are: linear, ties'
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean “{near[0]}”?"
    return "known are: " + ", ".join(names) if names else "none are known"
