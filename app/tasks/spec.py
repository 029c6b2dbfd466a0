"""What a task of a visitor's own is made of: a frozen value, written into a family's name so that a link carries it.

A specification says everything that decides the examples and the head: where the data lies (on the Hub always with its
commit), which columns, which splits, how many examples, whose head. Its canonical JSON is hashed; the beginning of that
hash is the task's name, and the same specification is the same task for everybody.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import BasinError, EvaluationError, Problem, closest

__all__ = ["DEFAULT_EXAMPLES", "LONGEST_SPEC", "MOST_EXAMPLES", "NAME_START", "TaskSpec", "data_name", "parse_spec"]

NAME_START = "task:"
"""How the names of such tasks begin."""
LONGEST_SPEC = 3000
"""Characters of a specification's canonical JSON."""
MOST_EXAMPLES = 20_000
DEFAULT_EXAMPLES = 400
"""Examples of a split: an accuracy near 80 % is then known to 4 points either way."""

KINDS = ("pictures", "texts")
HEADS = ("zero_shot", "own")
_ROLES = ("train", "validation", "test")
_UPLOAD = re.compile(r"upload:[0-9a-f]{64}")
_NAME = 100
_SHOWN = 60


@dataclass(frozen=True)
class TaskSpec:
    """One task: data, columns, head, number of examples, seed."""

    source: str
    """`hub:owner/name@commit` (a data set of the Hub), `local:folder` below the server's own, or `upload:sha256`."""
    head: str
    """`zero_shot`: the text tower of `model`; `own`: the classifier of `model`, an expert."""
    model: str
    """The checkpoint of the head, which also says how pictures or texts are prepared."""
    kind: str = "pictures"
    config: str | None = None
    """The part of a data set that has several."""
    splits: tuple[tuple[str, str], ...] = ()
    """What train, validation and test are called in the source, where their names do not say it."""
    input: str | None = None
    """The column of pictures or texts, where the data do not say it."""
    second: str | None = None
    """The column of second texts, for pairs."""
    label: str | None = None
    classes: tuple[str, ...] = ()
    """Names of the classes, where they are not the data's own."""
    templates: tuple[str, ...] = ()
    """Sentences with {} for a class's name, where they are not those known for the data set."""
    at_most: int = DEFAULT_EXAMPLES
    """Examples of each split."""
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the specification as JSON; what is absent has no key."""
        found: dict[str, Any] = {
            "source": self.source, "config": self.config, "splits": dict(self.splits), "kind": self.kind,
            "input": self.input, "second": self.second, "label": self.label, "classes": list(self.classes),
            "head": self.head, "model": self.model, "templates": list(self.templates), "at_most": self.at_most,
            "seed": self.seed,
        }  # fmt: skip
        return {key: value for key, value in found.items() if value not in (None, [], {})}

    @property
    def text(self) -> str:
        """Return the canonical JSON."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def digest(self) -> str:
        """Return the sha256 of the canonical JSON."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Return the task's name: short, and different for different tasks."""
        return NAME_START + self.digest[:16]

    @property
    def uploads(self) -> tuple[str, ...]:
        """Return the uploads that it is made of, each as `upload:` and its address.

        >>> TaskSpec("upload:" + "0" * 64, "own", "upload:0123abcd/mine@89ab").uploads[1]
        'upload:0123abcd'
        """
        named = (self.source, self.model)
        return tuple(ref.partition("/")[0].partition("@")[0] for ref in named if ref.startswith("upload:"))

    @property
    def title(self) -> str:
        """Return what the task is called.

        >>> TaskSpec("hub:ada/flags@" + "0" * 40, "zero_shot", "zoo:clip", config="small").title
        'flags small'
        """
        if self.source.startswith("upload:"):
            return f"upload {self.source[7:15]}"
        last = self.source.partition("@")[0].rpartition("/")[2].rpartition(":")[2]
        return f"{last} {self.config}" if self.config else last


def data_name(source: str) -> str:
    """Return what data are called where prompts are looked up.

    >>> data_name("hub:ada/flags@" + "0" * 40), data_name("upload:" + "0" * 64)
    ('ada/flags', 'this upload')
    """
    return "this upload" if source.startswith("upload:") else source.partition("@")[0].partition(":")[2]


def parse_spec(value: object) -> TaskSpec:
    """Read a specification that came from a visitor, strictly.

    Raises EvaluationError with everything that is wrong.
    """
    if not isinstance(value, Mapping):
        raise EvaluationError(Problem("a task is an object", type(value).__name__, "task"))
    problems: list[Problem] = []
    for key in value:
        if key not in _CHECKS:
            shown = str(key)[:_SHOWN]
            problems.append(Problem("a task's keys are known by name", ascii(shown), "task", closest(shown, _CHECKS)))
    for key, (needed, must, holds) in _CHECKS.items():
        if (key in value and not holds(value[key])) or (needed and key not in value):
            got = ascii(repr(value[key])[:_SHOWN]) if key in value else "nothing"
            problems.append(Problem(must, got, f"task.{key}"))
    if not problems:
        problems = [*_source_problems(value["source"]), *_model_problems(value["model"])]
        if value["head"] == "zero_shot" and value.get("kind", "pictures") == "texts":
            problems.append(Problem("texts are classified by a head of the models' own", "zero_shot", "task.head"))
        if value.get("templates") and value["head"] != "zero_shot":
            problems.append(Problem("only a zero-shot head has templates", "some", "task.templates"))
    if problems:
        raise EvaluationError(*problems)
    plain: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
    spec = TaskSpec(**{**plain, "splits": tuple(sorted(value.get("splits", {}).items()))})
    if len(spec.text) > LONGEST_SPEC:
        must = f"a task is described in at most {LONGEST_SPEC:,} characters"
        raise EvaluationError(Problem(must, f"{len(spec.text):,}", "task", "give fewer class names or templates"))
    return spec


def _source_problems(source: str) -> list[Problem]:
    if _UPLOAD.fullmatch(source):
        return []
    try:
        ref = parse_ref(source)
    except BasinError as error:
        return [problem.located("task.source") for problem in error.problems]
    if ref.scheme not in ("hub", "local"):
        fix = "write it like hub:owner/name@commit or local:folder"
        return [
            Problem("data are on the Hub, in a folder of the server or uploaded", f"{ref.scheme}:", "task.source", fix)
        ]
    if ref.scheme == "hub" and ref.commit is None:
        must, fix = "a data set of the Hub is named with its commit", "look at the data set again"
        return [Problem(must, source[:_SHOWN], "task.source", fix)]
    return []


def _model_problems(model: str) -> list[Problem]:
    try:
        ref = parse_ref(model)
    except BasinError as error:
        return [problem.located("task.model") for problem in error.problems]
    if ref.scheme == "file":
        return [Problem("a head comes from a checkpoint that every visitor may open", "file:", "task.model")]
    if ref.scheme == "hub" and ref.commit is None:
        must, fix = "a model of the Hub is named with its commit", "look at the model again"
        return [Problem(must, model[:_SHOWN], "task.model", fix)]
    return []


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _NAME and value.isprintable()


def _texts(most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(_text, value))


def _template(value: object) -> bool:
    return _text(value) and isinstance(value, str) and value.count("{}") == 1 and value.count("{") == 1


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


_CHECKS: Mapping[str, tuple[bool, str, Callable[[Any], bool]]] = {
    "source": (True, "source is a reference", lambda value: isinstance(value, str) and len(value) <= 300),
    "head": (True, f"head is {' or '.join(HEADS)}", lambda value: value in HEADS),
    "model": (True, "model is a reference", lambda value: isinstance(value, str) and len(value) <= 300),
    "kind": (False, f"kind is {' or '.join(KINDS)}", lambda value: value in KINDS),
    "config": (False, f"config is text of 1 to {_NAME} characters", _text),
    "splits": (
        False,
        "splits name the source's train, validation and test",
        lambda value: (
            isinstance(value, Mapping)
            and 0 < len(value) <= len(_ROLES)
            and set(value) <= set(_ROLES)
            and all(map(_text, value.values()))
        ),
    ),
    "input": (False, f"input is a column's name of 1 to {_NAME} characters", _text),
    "second": (False, f"second is a column's name of 1 to {_NAME} characters", _text),
    "label": (False, f"label is a column's name of 1 to {_NAME} characters", _text),
    "classes": (
        False,
        "classes are different names of 1 to 100 characters, two at least",
        lambda value: _texts(1000)(value) and len(value) >= 2 and len(set(value)) == len(value),
    ),
    "templates": (
        False,
        "templates are at most 40 sentences, each with one {}",
        lambda value: isinstance(value, list) and 0 < len(value) <= 40 and all(map(_template, value)),
    ),
    "at_most": (
        False,
        f"at_most is a whole number from 20 to {MOST_EXAMPLES:,}",
        lambda value: _whole(value, 20, MOST_EXAMPLES),
    ),
    "seed": (False, "seed is a whole number from 0 to 4294967295", lambda value: _whole(value, 0, 2**32 - 1)),
}
