"""What a page asks of models: a specification over a family, and everything that the visitor may read for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.families import Family
from app.own_family import family_named
from app.state import StudioState
from app.studio.here import check_here
from app.studio.workbench import Models
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.spec import StudySpec, parse_study
from merging_core.errors import EvaluationError, Problem, RecipeError, closest
from merging_core.evaluation.tokenizing import TextTokenizer, read_tokenizer
from merging_core.recipes.recipe import Recipe
from merging_core.recipes.resolving import references

__all__ = ["Question", "about", "bench_for", "labelled", "question_of", "references_in", "tokenizer_for"]


@dataclass(frozen=True)
class Question:
    """A specification, and the family whose models it is asked of."""

    spec: StudySpec
    family: Family

    @property
    def title(self) -> str:
        """What a list of jobs calls it."""
        titles = [model["title"] for model in about(self)["models"]]
        few = " and ".join(titles) if len(titles) < 3 else f"{len(titles)} models"
        return f"{self.spec.info.title}: {few}"


def question_of(given: object, state: StudioState, families: tuple[Family, ...]) -> Question:
    """Read the specification of a page; base and tasks are the family's unless it names some of them.

    Raises RecipeError with everything that is wrong with it, EvaluationError where there is nothing to measure on.
    """
    family = family_named(families, state.family)
    if isinstance(given, Mapping):
        given = {"version": 1, **given}
        given["base"] = given["base"] if given.get("base") is not None else family.base
        given["tasks"] = given.get("tasks") or list(family.tasks)
    spec = parse_study(given)
    problems = [
        Problem(f"a study is asked of models of {family.title}", ref[:80], "models", closest(ref[:80], family.refs))
        for ref in references_in(spec)
        if not family.has(ref)
    ]
    problems += [
        Problem(f"a study measures on tasks of {family.title}", name[:80], "tasks", closest(name[:80], family.tasks))
        for name in spec.tasks
        if name not in family.tasks
    ]
    if problems:
        raise RecipeError(*problems)
    if spec.info.measures and not spec.tasks:
        must, fix = "a study measures models on tasks", "choose one under Choose models"
        raise EvaluationError(Problem(must, "a family without one", "tasks", fix))
    return Question(spec, family)


def references_in(spec: StudySpec) -> tuple[str, ...]:
    """Return every checkpoint that a specification names, each once, the base first."""
    found = [] if spec.base is None else [spec.base]
    for model in spec.models:
        found += references(model) if isinstance(model, Recipe) else [model]
    return tuple(dict.fromkeys(found))


def bench_for(question: Question, models: Models) -> StudyBench:
    """Return what a study works with, on the live engine.

    Raises whatever keeps the caller from reading a model or a task.
    """
    spec = question.spec
    check_here(references_in(spec), models.engine.opened)
    return StudyBench(models.engine, models.evaluator, _tasks(question, models) if spec.info.measures else ())


def tokenizer_for(question: Question, bench: StudyBench) -> TextTokenizer | None:
    """Return the first tokenizer that a model of a question comes with, or None."""
    for ref in references_in(question.spec):
        checkpoint = bench.engine.opened(ref, question.spec.base)
        try:
            return read_tokenizer(checkpoint.folder, root=checkpoint.root)
        except EvaluationError:
            continue
    return None


def about(question: Question) -> dict[str, Any]:
    """Return who is drawn: titles and colours of models and tasks, in the order of the specification."""
    spec, family = question.spec, question.family
    models: list[dict[str, Any]] = []
    merges = 0
    for model in spec.models:
        if isinstance(model, Recipe):
            merges += 1
            title = "merge" if merges == 1 else f"merge {merges}"
            models.append({"ref": "merge", "title": title, "colour": None, "kind": "merge"})
        else:
            colour = family.colour_of(model)
            kind = "base" if colour is None else "expert"
            models.append({"ref": model, "title": family.title_of(model), "colour": colour, "kind": kind})
    tasks = [
        {"task": name, "title": _title(family, name), "colour": family.colour_of_task(name)} for name in spec.tasks
    ]
    return {"models": models, "tasks": tasks}


def labelled(numbers: Mapping[str, Any], *, transductive: bool) -> dict[str, Any]:
    """Return numbers that say so where a merge among the models was adapted to inputs of the test split.

    >>> labelled({"sentence": "Loss on validation."}, transductive=True)["sentence"]
    'Loss on validation. Transductive: a merge was adapted to inputs of the test split.'
    """
    if not transductive or numbers.get("transductive"):
        return dict(numbers)
    words = f"{numbers['sentence']} Transductive: a merge was adapted to inputs of the test split."
    return {**numbers, "sentence": words, "transductive": True}


def _tasks(question: Question, models: Models) -> tuple[Any, ...]:
    """Load the tasks that are asked for, and no others."""
    names = question.spec.tasks
    others = [name for name in question.family.tasks if name not in names]
    found = {task.name: task for task in models.tasks_of(question.family.without_tasks(others))}
    return tuple(found[name] for name in names)


def _title(family: Family, name: str) -> str:
    own = next((spec.title for spec in family.specs if spec.name == name), None)
    return family.title_of_task(name, own or name.rpartition("/")[2].replace("-", " ").capitalize())
