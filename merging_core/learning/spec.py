"""What is to be learned: a frozen specification, read as strictly as a recipe, with every problem at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import CheckpointError, EvaluationError, Problem, RecipeError, closest, legible
from merging_core.evaluation.tasks import AnyTask
from merging_core.learning.contract import LearnMethod
from merging_core.learning.registry import learn_method, learn_methods
from merging_core.methods.info import ParameterInfo, Parameters, ParameterValue, check_parameters, shown
from merging_core.recipes.files import LARGEST_FILE, read_tree
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import SEED, Recipe

__all__ = ["Keep", "LearnSpec", "load_spec", "parse_spec"]

Keep = Literal["last", "accuracy", "loss", "objective"]
VERSION = 1
KEEP = ParameterInfo(
    "keep",
    "Keep",
    "choice",
    "accuracy",
    "Which moment becomes the recipe: the last, or the best check by accuracy, loss or the objective (the later of two "
    "that are equal).",
    choices=("last", "accuracy", "loss", "objective"),
)
EVERY = ParameterInfo("every", "Check every", "integer", 25, "Steps between two checks.", 1, 100_000)
SUBSET = ParameterInfo(
    "subset",
    "Check on",
    "choice",
    "preview",
    "Whether a check looks at the preview of validation, or at all of it.",
    choices=("preview", "full"),
)
_KEYS = (
    "version",
    "method",
    "base",
    "models",
    "tasks",
    "learn_from",
    "split",
    "steps",
    "batch",
    "check",
    "keep",
    "seed",
)
_MOST_TASKS = 64


@dataclass(frozen=True)
class LearnSpec:
    """A run of learning in words and numbers, complete and checked; it and the checkpoints decide every bit on a CPU.

    Checks always look at validation; `split` is where the examples come from that are learned from.
    """

    method: str
    params: Parameters
    base: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    """Names of tasks; empty for those of the models, which whoever starts the run knows."""
    split: str
    steps: int
    batch: int
    every: int
    subset: Literal["preview", "full"]
    keep: Keep
    seed: int
    learn_from: tuple[str, ...] = ()
    """Names of the tasks that are learned from; empty for all. Checks look at all of them."""
    version: int = VERSION

    @property
    def info(self) -> LearnMethod:
        """The method's own record."""
        return learn_method(self.method)

    @property
    def transductive(self) -> bool:
        """Whether it adapts on inputs of the test split."""
        return self.split == "test"

    @property
    def seen(self) -> bool:
        """Whether the examples that checks look at are learned from too."""
        return self.split == "validation"

    @property
    def chosen_by(self) -> str:
        """By which validation examples the kept moment is chosen; empty where by none."""
        if self.keep not in ("accuracy", "loss"):
            return ""
        return "the preview of validation" if self.subset == "preview" else "validation"

    def recipe(self, tensors: str | None = None) -> Recipe:
        """Return the recipe of the result, with these learned tensors; without, what they are multiplied onto.

        Raises RecipeError where models are merged that cannot be, ValueError for a run that makes an expert.
        """
        if self.info.makes == "expert":
            raise ValueError(f"{self.method} makes an expert, no recipe")
        given: dict[str, object] = {
            "version": 1,
            "base": self.base,
            "models": [{"ref": ref} for ref in self.models],
            "method": {"name": "task_arithmetic"},
            "lambda": self.params.get("lambda", self.info.default_lambda),
            **self.info.vectors(self.params),
        }
        return parse_recipe(given if tensors is None else {**given, "tensors": tensors})

    def teachers(self, tasks: Sequence[AnyTask]) -> tuple[AnyTask, ...]:
        """Return those of the run's tasks that are learned from; the last part of a name is enough.

        Raises EvaluationError with every name that is none of them.
        """
        if not self.learn_from:
            return tuple(tasks)
        found = {name: task for task in tasks for name in (task.name.rpartition("/")[2], task.name)}
        problems = [
            Problem("what is learned from is one of the run's tasks", shown(name), "learn_from", closest(name, found))
            for name in self.learn_from
            if name not in found
        ]
        if problems:
            raise EvaluationError(*problems)
        wanted = {id(found[name]) for name in self.learn_from}
        return tuple(task for task in tasks if id(task) in wanted)

    def as_json(self) -> dict[str, object]:
        """Return the specification as JSON values; `parse_spec` reads it back."""
        return {
            "version": self.version,
            "method": {"name": self.method, "params": self.params.as_json()},
            "base": self.base,
            "models": list(self.models),
            "tasks": list(self.tasks),
            **({"learn_from": list(self.learn_from)} if self.learn_from else {}),
            "split": self.split,
            "steps": self.steps,
            "batch": self.batch,
            "check": {"every": self.every, "subset": self.subset},
            "keep": self.keep,
            "seed": self.seed,
        }


def load_spec(path: str | Path) -> LearnSpec:
    """Read a specification from a file: JSON if its name ends in `.json`, else YAML. Raises RecipeError."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = f"“{error.strerror or type(error).__name__}”"
        must, fix = "a specification can be read", "check path and permissions"
        raise RecipeError(Problem(must, reason, legible(str(path)), fix)) from error
    return parse_spec(read_tree(data, "json" if path.suffix.lower() == ".json" else "yaml"))


def parse_spec(given: object) -> LearnSpec:
    """Check a mapping, as JSON or YAML gives it, and fill in every default.

    Raises RecipeError with all problems, each with its place.

    >>> spec = parse_spec({"version": 1, "method": {"name": "adamerging"}, "base": "zoo:tiny/base",
    ...                    "models": ["zoo:tiny/digits", "zoo:tiny/greek"]})
    >>> spec.split, spec.steps, spec.params["per"]
    ('calibration', 500, 'leaf')
    """
    if not isinstance(given, Mapping):
        raise RecipeError(Problem("a specification is a mapping", shown(given), "spec", "start with version: 1"))
    problems = [
        Problem("keys are known by name", shown(key, quoted=False), "spec", closest(str(key)[:80], _KEYS))
        for key in given
        if key not in _KEYS
    ]
    if given.get("version") != VERSION or isinstance(given.get("version"), bool):
        got = shown(given["version"]) if "version" in given else "nothing"
        problems.append(Problem("the version is known", got, "version", f"write version: {VERSION}"))
    info, params = _method(given, problems)
    names = _names(given.get("tasks", []), "tasks", problems)
    teachers = _names(given.get("learn_from", []), "learn_from", problems)
    known = info if info is not None else learn_methods()[0]
    check, wrong = _section(given, "check", (EVERY, replace(SUBSET, default=known.subset)))
    problems += wrong
    steps = ParameterInfo("steps", "Steps", "integer", known.default_steps, "How many steps.", 1, 1_000_000)
    batch = ParameterInfo("batch", "Batch", "integer", known.batch, "Examples of each task in a step.", 1, 4_096)
    split = ParameterInfo(
        "split", "Split", "choice", known.splits[0], "Where examples come from.", choices=known.splits
    )
    numbers, wrong = check_parameters(
        {key: given[key] for key in ("steps", "batch", "split", "keep", "seed") if key in given},
        (steps, batch, split, KEEP, SEED),
        "spec",
    )
    problems += wrong
    trains = info is not None and info.makes == "expert"
    models = _none(given, problems) if trains else _models(given.get("models"), problems)
    if trains and not names and not any(problem.where == "tasks" for problem in problems):
        problems.append(Problem("an expert is trained on a task", "none", "tasks", "write [tiny/digits]"))
    base = _base(given, alone=trains, problems=problems)
    if not problems and info is not None:
        spec = LearnSpec(
            info.name, params, base, models, names, str(numbers["split"]), int(str(numbers["steps"])),
            int(str(numbers["batch"])), int(str(check["every"])),
            "full" if check["subset"] == "full" else "preview",
            _keep(numbers["keep"]), int(str(numbers["seed"])), teachers,
        )  # fmt: skip
        if trains:
            return spec
        recipe = spec.recipe()
        refs = tuple(entry.ref for entry in recipe.models)
        return replace(spec, base=str(recipe.base), models=refs)
    raise RecipeError(*problems)


def _method(given: Mapping[object, object], problems: list[Problem]) -> tuple[LearnMethod | None, Parameters]:
    section = given.get("method")
    names = [info.name for info in learn_methods()]
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str) or section["name"] not in names:
        got = shown(section.get("name") if isinstance(section, Mapping) else section)
        fix = closest(got.strip("'")[:80], names)
        problems.append(Problem("method names a known method of learning", got, "method.name", fix))
        return None, Parameters()
    info = learn_method(section["name"])
    for key in section:
        if key not in ("name", "params"):
            got = shown(key, quoted=False)
            problems.append(Problem("a method has name and params", got, "method", closest(got, ("name", "params"))))
    values, wrong = _section(section, "params", info.parameters, "method.params")
    problems += wrong
    return info, Parameters(values)


def _section(
    given: Mapping[object, object], key: str, infos: tuple[ParameterInfo, ...], where: str = ""
) -> tuple[dict[str, ParameterValue], tuple[Problem, ...]]:
    section = given.get(key, {})
    if not isinstance(section, Mapping):
        return {}, (Problem(f"{key} is a mapping", shown(section), where or key),)
    return check_parameters({str(name): value for name, value in section.items()}, infos, where or key)


def _names(given: object, where: str, problems: list[Problem]) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) and name for name in given):
        problems.append(Problem(f"{where} is a list of names", shown(given), where, "write [tiny/digits]"))
        return ()
    if len(given) > _MOST_TASKS or len(set(given)) != len(given):
        must = f"{where} holds at most {_MOST_TASKS} names, each once"
        problems.append(Problem(must, shown(given), where, "name each once"))
    return tuple(given)


def _models(given: object, problems: list[Problem]) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not given or not all(isinstance(ref, str) for ref in given):
        got = shown(given) if given is not None else "nothing"
        problems.append(Problem("models is a list of references", got, "models", "write [zoo:tiny/digits]"))
        return ()
    return tuple(given)


def _none(given: Mapping[object, object], problems: list[Problem]) -> tuple[str, ...]:
    if given.get("models"):
        must, fix = "an expert is trained from the base alone", "leave models out"
        problems.append(Problem(must, shown(given["models"]), "models", fix))
    return ()


def _base(given: Mapping[object, object], *, alone: bool, problems: list[Problem]) -> str:
    """Return the base, as recipes write it where no recipe will check it."""
    base = given.get("base")
    if not isinstance(base, str):
        got = shown(base) if "base" in given else "nothing"
        problems.append(Problem("learning needs the base that its experts started from", got, "base"))
        return ""
    try:
        return str(parse_ref(base)) if alone else base
    except CheckpointError as error:
        problems += [replace(problem, where="base") for problem in error.problems]
        return base


def _keep(value: object) -> Keep:
    return next(one for one in ("last", "accuracy", "loss", "objective") if one == value)
