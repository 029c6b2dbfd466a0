"""Families by name: those of the zoo, and those that a visitor puts together from any checkpoints that can be opened.

A family of one's own is named `own:` and, as canonical JSON, its base, its experts with the task of each, and the tasks
it is measured on; without a task there are plans, layers and exports, and no accuracy. A task of a visitor's own has a
hash for a name; what it is made of (`app.tasks.spec`) stands in the family's name too. Whether its checkpoints exist
and fit each other is for the plan to say, not for the name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from app.families import Expert, Family, plain, titles_of
from app.tasks.spec import TaskSpec, parse_spec
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import BasinError, EvaluationError, Problem, RecipeError, closest
from merging_core.methods.registry import method

__all__ = ["LONGEST_NAME", "MOST_EXPERTS", "family_named", "own_name", "refs_named"]

LONGEST_NAME = 12_000
"""Characters of a family's name."""
MOST_EXPERTS = 16
_OWN = "own:"
_CLOSED = ("file",)
"""Schemes that a visitor may not name."""


def own_name(
    base: str | None,
    experts: Sequence[tuple[str, str | None]],
    tasks: Sequence[str],
    specs: Sequence[TaskSpec] = (),
) -> str:
    """Name a family by what it holds; `experts` are references, each with its task or None.

    `specs`: what its tasks that are nobody else's are made of; those that it is not measured on are left out.

    >>> own_name(None, [("zoo:a", None), ("zoo:b", "t")], ["t"])
    'own:{"base":null,"experts":[["zoo:a",null],["zoo:b","t"]],"tasks":["t"]}'
    """
    holds: dict[str, Any] = {"base": base, "experts": [list(expert) for expert in experts], "tasks": list(tasks)}
    own = {spec.name: spec.as_json() for spec in specs if spec.name in tasks}
    if own:
        holds["specs"] = own
    return _OWN + json.dumps(holds, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def family_named(families: Sequence[Family], name: object) -> Family:
    """Return the family of this name: one of `families`, or the one that the name itself describes.

    Raises: `RecipeError` with the closest name, or with everything that is wrong with a family of one's own.
    """
    for family in families:
        if family.name == name:
            return family
    if isinstance(name, str) and name.startswith(_OWN):
        return _own(name, families)
    known = [family.name for family in families]
    shown = (name if isinstance(name, str) else type(name).__name__)[:60]
    raise RecipeError(Problem("the family is one of the zoo", shown, "family", closest(shown, known)))


def refs_named(name: object) -> tuple[str, ...]:
    """Return the references in the name of a family of one's own, the base first; nothing for any other name.

    >>> refs_named(own_name("zoo:a", [("zoo:b", None)], [])), refs_named("tiny")
    (('zoo:a', 'zoo:b'), ())
    """
    if not isinstance(name, str) or not name.startswith(_OWN):
        return ()
    try:
        base, pairs, _, _ = _read(name)
    except RecipeError:
        return ()
    return (*([base] if base else []), *(ref for ref, _ in pairs))


def _own(name: str, families: Sequence[Family]) -> Family:
    base, pairs, tasks, specs = _read(name)
    problems = [problem for ref in [*([base] if base else []), *(ref for ref, _ in pairs)] for problem in _closed(ref)]
    refs = [plain(ref) for ref in [*([base] if base else []), *(ref for ref, _ in pairs)]]
    if len(set(refs)) < len(refs):
        problems.append(Problem("each checkpoint of a family is named once", "one twice", "family"))
    known = sorted({task for family in families for task in family.tasks} | {spec.name for spec in specs})
    for task in sorted({*tasks, *(task for _, task in pairs if task is not None)}):
        if task not in known:
            problems.append(
                Problem("a family is measured on known tasks", task[:60], "family", closest(task[:60], known))
            )
    if not 1 <= len(pairs) <= MOST_EXPERTS:
        problems.append(Problem(f"a family has 1 to {MOST_EXPERTS} experts", str(len(pairs)), "family"))
    if problems:
        raise RecipeError(*problems)
    titles = titles_of([ref for ref, _ in pairs])
    experts = tuple(_expert(ref, task, place, titles[place], families) for place, (ref, task) in enumerate(pairs))
    few = " and ".join(expert.title for expert in experts) if len(experts) < 3 else f"{len(experts)} experts"
    description = f"{few} on {parse_ref(base).unpinned}." if base else f"{few}, without a base."
    ends = {"kind": "between", "a": experts[0].ref, "b": experts[-1].ref}
    path = ends if base is None and len(experts) > 1 else {"kind": "lambda"}
    return Family(name, "Your models", description, base, experts, tasks, _start(base, experts), path, specs)


def _read(name: str) -> tuple[str | None, tuple[tuple[str, str | None], ...], tuple[str, ...], tuple[TaskSpec, ...]]:
    """Return base, experts, tasks and their specifications; `own_name` would write the name again letter by letter."""
    problem = Problem(
        "a family of one's own is named as Basin names it", name[:60], "family", "choose the models again"
    )
    if len(name) > LONGEST_NAME:
        raise RecipeError(Problem(f"a family's name has at most {LONGEST_NAME} characters", str(len(name)), "family"))
    try:
        holds = json.loads(name.removeprefix(_OWN))
        base = holds["base"]
        pairs = tuple((ref, task) for ref, task in holds["experts"])
        tasks = tuple(holds["tasks"])
        texts = [*([base] if base is not None else []), *(ref for ref, _ in pairs), *tasks]
        texts += [task for _, task in pairs if task is not None]
        specs = tuple(parse_spec(spec) for spec in holds.get("specs", {}).values())
        if not all(isinstance(text, str) for text in texts) or own_name(base, pairs, tasks, specs) != name:
            raise RecipeError(problem)
    except EvaluationError as error:
        raise RecipeError(*(found.located("family") for found in error.problems)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RecipeError(problem) from None
    return base, pairs, tasks, specs


def _closed(ref: str) -> list[Problem]:
    """Say what is wrong with a reference as text, or that visitors may not name its scheme."""
    try:
        found = parse_ref(ref)
    except BasinError as error:
        return list(error.problems)
    if found.scheme in _CLOSED:
        return [Problem("a family names checkpoints that every visitor may open", f"{found.scheme}:", "family")]
    if found.scheme == "hub" and found.commit is None:
        fix = "choose the model again: then its commit is known"
        return [Problem("a family names a model of the Hub with its commit", found.label, "family", fix)]
    return []


def _expert(ref: str, task: str | None, place: int, title: str, families: Sequence[Family]) -> Expert:
    """Return an expert under the title that it has elsewhere; its place gives its colour here."""
    for family in families:
        for expert in family.experts:
            if plain(expert.ref) == plain(ref):
                return Expert(ref, expert.title, place, task, expert.description)
    return Expert(ref, title.replace("-", " "), place, task)


def _start(base: str | None, experts: Sequence[Expert]) -> dict[str, Any]:
    """Return the recipe that it opens with: task arithmetic where there is a base, else the average."""
    name = "linear" if base is None else "task_arithmetic"
    models = [{"ref": expert.ref} for expert in experts]
    start: dict[str, Any] = {
        "version": 1,
        "models": models,
        "method": {"name": name},
        "lambda": method(name).default_lambda,
    }
    return start if base is None else {**start, "base": base}
