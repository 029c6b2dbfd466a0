"""What is asked: a frozen specification of one study, read as strictly as a recipe, with every problem at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from merging_core.analysis.studies.contract import Study, StudyBench
from merging_core.analysis.studies.registry import studies, study
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import BasinError, CheckpointError, Problem, RecipeError, closest
from merging_core.methods.info import ParameterInfo, Parameters, check_parameters, shown
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import SEED, Recipe

__all__ = ["SPLITS", "StudySpec", "parse_study"]

VERSION = 1
SPLITS = ("validation", "train")
"""Splits that may be looked at while exploring; test is for reporting."""
SUBSET = ParameterInfo(
    "subset",
    "Examples",
    "choice",
    "full",
    "Whether all examples of a split are measured in the end, or its preview only.",
    choices=("preview", "full"),
)
_KEYS = ("version", "study", "base", "models", "tasks", "splits", "subset", "seed")
_MOST = 64


@dataclass(frozen=True)
class StudySpec:
    """A study in words and numbers, complete and checked.

    `models`: references of checkpoints, and recipes of merges. `tasks`: names of tasks; empty for those that whoever
    asks knows. `splits`: where examples come from. `subset`: `preview` measures the first examples of each split only.
    """

    study: str
    params: Parameters
    base: str | None
    models: tuple[str | Recipe, ...]
    tasks: tuple[str, ...]
    splits: tuple[str, ...]
    subset: Literal["preview", "full"]
    seed: int
    version: int = VERSION

    @property
    def info(self) -> Study:
        """The study's own record."""
        return study(self.study)

    @property
    def labels(self) -> list[str]:
        """What numbers call the models: the text of a reference, or `merge`."""
        return [model if isinstance(model, str) else "merge" for model in self.models]

    def as_json(self) -> dict[str, object]:
        """Return the specification as JSON values; `parse_study` reads it back."""
        return {
            "version": self.version,
            "study": {"name": self.study, "params": self.params.as_json()},
            "base": self.base,
            "models": [model if isinstance(model, str) else {"recipe": model.as_json()} for model in self.models],
            "tasks": list(self.tasks),
            "splits": list(self.splits),
            "subset": self.subset,
            "seed": self.seed,
        }

    def identity(self, bench: StudyBench) -> str:
        """Return 64 hex digits that are the same for the same question on the same weights and tasks.

        Models are opened for it: raises as that does.
        """
        contents = [
            bench.engine.plan(model).hash
            if isinstance(model, Recipe)
            else bench.engine.opened(model, self.base).content()
            for model in self.models
        ]
        base = None if self.base is None else bench.engine.opened(self.base).content()
        tasks = [task.name for task in bench.tasks]
        text = json.dumps([{**self.as_json(), "base": base, "models": contents, "tasks": tasks}], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_study(given: object) -> StudySpec:
    """Check a mapping, as JSON or YAML gives it, and fill in every default.

    Raises RecipeError with all problems, each with its place.

    >>> models = ["zoo:tiny/digits", "zoo:tiny/greek"]
    >>> spec = parse_study({"version": 1, "study": {"name": "interpolate"}, "models": models})
    >>> spec.splits, spec.subset
    (('validation', 'train'), 'full')
    """
    if not isinstance(given, Mapping):
        raise RecipeError(Problem("a study is a mapping", shown(given), "study", "start with version: 1"))
    problems = [
        Problem("keys are known by name", shown(key, quoted=False), "study", closest(str(key)[:80], _KEYS))
        for key in given
        if key not in _KEYS
    ]
    if given.get("version") != VERSION or isinstance(given.get("version"), bool):
        got = shown(given["version"]) if "version" in given else "nothing"
        problems.append(Problem("the version is known", got, "version", f"write version: {VERSION}"))
    info, params = _study(given, problems)
    base = _base(given.get("base"), info, problems)
    models = _models(given.get("models"), info, problems)
    tasks = _names(given.get("tasks", []), "tasks", problems)
    splits = _names(given.get("splits", list(info.splits)), "splits", problems)
    problems += [
        Problem(f"a split is one of {', '.join(SPLITS)}", shown(split), "splits", "test is for reporting")
        for split in splits
        if split not in SPLITS
    ]
    if info.measures and not splits:
        problems.append(Problem("a study is measured on a split", "none", "splits"))
    subset, seed = given.get("subset", SUBSET.default), given.get("seed", SEED.default)
    problems += [*SUBSET.problems(subset, "subset"), *SEED.problems(seed, "seed")]
    if problems:
        raise RecipeError(*problems)
    narrowed: Literal["preview", "full"] = "preview" if subset == "preview" else "full"
    return StudySpec(info.name, params, base, models, tasks, splits, narrowed, int(str(seed)))


def _study(given: Mapping[str, object], problems: list[Problem]) -> tuple[Study, Parameters]:
    section = given.get("study")
    section = {"name": section} if isinstance(section, str) else section
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
        problems.append(Problem("a study has a name", shown(section), "study", 'write study: {"name": "interpolate"}'))
        return studies()[0], Parameters()
    problems += [
        Problem("keys are known by name", shown(key, quoted=False), "study", closest(str(key)[:80], ("name", "params")))
        for key in section
        if key not in ("name", "params")
    ]
    try:
        info = study(section["name"])
    except RecipeError as error:
        problems += error.problems
        return studies()[0], Parameters()
    params = section.get("params") or {}
    if not isinstance(params, Mapping):
        problems.append(Problem("parameters are a mapping", shown(params), "study.params"))
        return info, Parameters()
    values, wrong = check_parameters(params, info.parameters, "study.params")
    problems += wrong
    return info, Parameters(values)


def _base(given: object, info: Study, problems: list[Problem]) -> str | None:
    if given is None:
        if info.needs_base:
            problems.append(Problem(f"{info.title} needs a base", "none", "base", "name a base"))
        return None
    return _reference(given, "base", problems)


def _models(given: object, info: Study, problems: list[Problem]) -> tuple[str | Recipe, ...]:
    if not isinstance(given, list | tuple):
        problems.append(Problem("models are a list", shown(given), "models"))
        return ()
    fewest, most = info.models
    if not fewest <= len(given) <= (most or _MOST):
        some = f"{fewest} models" if fewest == most else f"{fewest} to {most or _MOST} models"
        problems.append(Problem(f"{info.title} takes {some}", str(len(given)), "models"))
        return ()
    found: list[str | Recipe] = []
    for place, entry in enumerate(given):
        where = f"models[{place}]"
        if isinstance(entry, Mapping) and set(entry) == {"recipe"}:
            try:
                found.append(parse_recipe(entry["recipe"]))
            except BasinError as error:
                problems += error.located(where).problems
        else:
            ref = _reference(entry, where, problems)
            found += [ref] if ref is not None else []
    return tuple(found)


def _reference(given: object, where: str, problems: list[Problem]) -> str | None:
    if not isinstance(given, str):
        problems.append(Problem("a model is a reference or a recipe", shown(given), where))
        return None
    try:
        return str(parse_ref(given))
    except CheckpointError as error:
        problems += error.located(where).problems
        return None


def _names(given: object, where: str, problems: list[Problem]) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given) or len(given) > _MOST:
        problems.append(Problem(f"{where} are a list of names", shown(given), where))
        return ()
    return tuple(dict.fromkeys(given))
