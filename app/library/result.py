"""A result: one merge, what was measured of it, with what, and when; and the file that carries it.

Its key is the sha256 of (recipe hash, evaluation digest, environment): whoever measures the same merge on the same
examples with the same software holds the same result. One that came in a file was measured elsewhere, so its content
counts too: nobody's file can stand in for what this Basin measured.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.library.forms import Accuracy, Layers, Path, ResultError, checked, kept
from app.own_family import LONGEST_NAME
from app.studio import pairs
from merging_core.errors import BasinError, Problem, closest
from merging_core.methods.info import shown
from merging_core.recipes import parse_recipe, recipe_hash

__all__ = ["FORM", "ResultFile", "Result", "read_file", "write_file"]

FORM = 1
"""The version of the file's form."""
_KEYS = (
    "basin_result", "recipe", "pins", "hash", "family", "label", "evaluation", "environment", "measured", "accuracy",
    "path", "layers", "correct", "test", "name", "tags", "digest",
)  # fmt: skip
_ENVIRONMENT = ("basin", "device", "torch")
_HEX = re.compile(r"[0-9a-f]{64}")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST = 200


@dataclass(frozen=True)
class Result:
    """What was measured of one merge on the validation split."""

    family: str
    label: str
    """The merge in a few words."""
    recipe: dict[str, Any]
    pins: dict[str, str]
    """Each reference of the recipe, pinned by content."""
    hash: str
    """The recipe's hash."""
    evaluation: str
    """A digest of the examples and of what reads them."""
    environment: dict[str, str]
    """Versions and device."""
    measured: str
    """When, UTC, ISO 8601."""
    accuracy: dict[str, Any]
    path: dict[str, Any] | None
    layers: dict[str, Any] | None
    correct: bytes | None
    """Which examples were right, packed by `app.studio.pairs`."""
    imported: bool = False
    """Whether it came in a file, so that this Basin only repeats what the file says."""

    @property
    def key(self) -> str:
        """The result's identity, 64 hex digits."""
        parts: list[object] = [self.hash, self.evaluation, sorted(self.environment.items())]
        if self.imported:
            parts.append(_digest(self.as_json()))
        return hashlib.sha256(_text(parts)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return plain values; `result_of` reads them back."""
        correct = None if self.correct is None else base64.b64encode(self.correct).decode()
        return {
            "basin_result": FORM,
            "recipe": self.recipe,
            "pins": self.pins,
            "hash": self.hash,
            "family": self.family,
            "label": self.label,
            "evaluation": self.evaluation,
            "environment": self.environment,
            "measured": self.measured,
            "accuracy": self.accuracy,
            "path": self.path,
            "layers": self.layers,
            "correct": correct,
        }


@dataclass(frozen=True)
class ResultFile:
    """A result, with what its owner wrote beside it."""

    result: Result
    name: str = ""
    tags: tuple[str, ...] = ()
    test: dict[str, Any] | None = None
    """Accuracy on the test split, if it was taken, with `test_scores`: how many its owner had taken by then."""


def write_file(file: ResultFile) -> bytes:
    """Return the text of a `.basin.json` file; `read_file` reads it back."""
    plain = {**file.result.as_json(), "test": file.test, "name": file.name, "tags": list(file.tags)}
    return (
        json.dumps({**plain, "digest": _digest(plain)}, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    ).encode()


def read_file(data: bytes) -> ResultFile:
    """Read a `.basin.json` file from anywhere: strictly, and with every problem at once.

    Raises: `ResultError` if the text is no JSON, of another version, damaged, or says what cannot be.
    """
    tree = _tree(data)
    if not isinstance(tree, dict) or "basin_result" not in tree:
        advice = "choose a file whose name ends in .basin.json"
        raise ResultError(Problem("the file holds a result of Basin", "something else", "file", advice))
    if tree["basin_result"] != FORM or isinstance(tree["basin_result"], bool):
        advice = "a newer Basin may read it"
        raise ResultError(Problem(f"the file has the form {FORM}", shown(tree["basin_result"]), "basin_result", advice))
    unknown = [
        Problem(
            "the keys of a result are known by name", shown(key, quoted=False), "file", closest(str(key)[:60], _KEYS)
        )
        for key in tree
        if key not in _KEYS
    ]
    missing = [Problem(f"the file has the key {key}", "none", "file") for key in _KEYS if key not in tree]
    if unknown or missing:
        raise ResultError(*unknown, *missing)
    if tree["digest"] != _digest({key: value for key, value in tree.items() if key != "digest"}):
        advice = "export it again; a file that was changed by hand is not read"
        raise ResultError(Problem("the file’s check digits fit its content", "others", "digest", advice))
    problems: list[Problem] = []
    result = replace(result_of(tree, problems), imported=True)
    test = _test(tree["test"], problems)
    name, tags = tree["name"], tree["tags"]
    if not isinstance(name, str) or len(name) > _LONGEST:
        problems.append(Problem(f"a name is text of at most {_LONGEST} characters", shown(name), "name"))
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags) or len(tags) > 100:
        problems.append(Problem("tags are a list of at most 100 texts", shown(tags), "tags"))
    if problems:
        raise ResultError(*problems[:20])
    return ResultFile(result, name, tuple(tags), test)


def result_of(tree: Mapping[str, Any], problems: list[Problem]) -> Result:
    """Read what `Result.as_json` wrote, adding to `problems` whatever is wrong; then what is returned means nothing."""
    for key in ("hash", "evaluation"):
        if not (isinstance(tree[key], str) and _HEX.fullmatch(tree[key])):
            problems.append(Problem(f"{key} has 64 hex digits", shown(tree[key]), key))
    for key, longest in (("family", LONGEST_NAME), ("label", _LONGEST)):
        if not (isinstance(tree[key], str) and 0 < len(tree[key]) <= longest):
            problems.append(Problem(f"{key} is text of 1 to {longest} characters", shown(tree[key]), key))
    environment = tree["environment"]
    if not (isinstance(environment, dict) and set(environment) == set(_ENVIRONMENT) and _texts(environment)):
        must = f"the environment names {', '.join(_ENVIRONMENT)}"
        problems.append(Problem(must, shown(environment), "environment"))
    if not _is_moment(tree["measured"]):
        problems.append(
            Problem("measured is a moment such as 2026-01-31T12:00:00Z", shown(tree["measured"]), "measured")
        )
    recipe, pins = _recipe(tree, problems)
    numbers: dict[str, Any] = {}
    for key, form in (("accuracy", Accuracy), ("path", Path), ("layers", Layers)):
        numbers[key] = None
        if tree[key] is not None or key == "accuracy":
            try:
                numbers[key] = checked(form, tree[key], key)
            except ResultError as error:
                problems += error.problems
    accuracy = numbers["accuracy"]
    if accuracy is not None and accuracy["split"] != "validation":
        problems.append(Problem("accuracy is of the validation split", accuracy["split"], "accuracy.split"))
    return Result(
        family=tree["family"],
        label=tree["label"],
        recipe=recipe,
        pins=pins,
        hash=tree["hash"],
        evaluation=tree["evaluation"],
        environment=environment,
        measured=tree["measured"],
        correct=_correct(tree["correct"], accuracy, problems),
        **numbers,
    )


def kept_numbers(
    accuracy: dict[str, Any], path: dict[str, Any] | None, layers: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what a result keeps of live numbers."""
    return {
        "accuracy": kept(Accuracy, accuracy),
        "path": None if path is None else kept(Path, path),
        "layers": None if layers is None else kept(Layers, layers),
    }


def _recipe(tree: Mapping[str, Any], problems: list[Problem]) -> tuple[dict[str, Any], dict[str, str]]:
    pins, known = tree["pins"], True
    if not (isinstance(pins, dict) and len(pins) <= 256 and _texts(pins)):
        problems.append(Problem("pins name each reference with its content", shown(pins), "pins"))
        pins, known = {}, False
    try:
        recipe = parse_recipe(tree["recipe"])
        if known and recipe_hash(recipe, pins) != tree["hash"]:
            problems.append(Problem("the hash is that of the recipe with its pins", "another one", "hash"))
        return dict(recipe.as_json()), dict(pins)
    except BasinError as error:
        problems += [problem.located("recipe") for problem in error.problems]
        return {}, {}


def _correct(text: object, accuracy: dict[str, Any] | None, problems: list[Problem]) -> bytes | None:
    """Read the packed answers; they must give the accuracies that stand beside them."""
    if text is None or accuracy is None:
        return None
    must = "correct holds one bit for each example, as the accuracies say"
    try:
        if not isinstance(text, str) or len(text) > 10**7:
            raise ValueError
        packed = base64.b64decode(text, validate=True)
        sizes, _, bits = packed.partition(b"\n")
        n = {task["task"]: task["n"] for task in accuracy["tasks"]}
        if json.loads(sizes) != n or len(bits) != sum((size + 7) // 8 for size in n.values()):
            raise ValueError
        found = pairs.unpack(packed)
        said = {task["task"]: (task["n"], round(task["accuracy"] * task["n"])) for task in accuracy["tasks"]}
        if {task: (int(bits.size), int(bits.sum())) for task, bits in found.items()} != said:
            raise ValueError
        if pairs.pack(found) != packed:
            raise ValueError
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        problems.append(Problem(must, "something else", "correct"))
        return None
    return packed


def _test(given: object, problems: list[Problem]) -> dict[str, Any] | None:
    if given is None:
        return None
    taken = given.get("test_scores") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(taken, int) or isinstance(taken, bool) or not 1 <= taken <= 10**9:
        must = "test holds accuracies and test_scores, a whole number from 1"
        problems.append(Problem(must, shown(given), "test"))
        return None
    try:
        numbers = checked(Accuracy, {key: value for key, value in given.items() if key != "test_scores"}, "test")
    except ResultError as error:
        problems += error.problems
        return None
    if numbers["split"] != "test":
        problems.append(Problem("test is of the test split", numbers["split"], "test.split"))
    return {**numbers, "test_scores": taken}


def _tree(data: bytes) -> object:
    def unique(found: list[tuple[str, object]]) -> dict[str, object]:
        if len({key for key, _ in found}) < len(found):
            raise ValueError("a key stands twice")
        return dict(found)

    def refuse(word: str) -> float:
        raise ValueError(f"{word} is no number")

    try:
        tree: object = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=refuse)
        json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        advice = "choose a file whose name ends in .basin.json"
        raise ResultError(Problem("the file is JSON text in UTF-8", "something else", "file", advice)) from None
    return tree


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(plain)).hexdigest()


def _text(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _texts(value: dict[Any, Any]) -> bool:
    return all(isinstance(text, str) and 0 < len(text) <= 4200 for pair in value.items() for text in pair)


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.strptime(value, _MOMENT) is not None
    except ValueError:
        return False
