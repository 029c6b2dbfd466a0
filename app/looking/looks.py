"""Asking models about single pictures, and about every picture of a task's validation split."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.families import Expert, Family, plain
from app.looking.sprites import photo, sprite
from app.state import StudioState
from app.studio.memo import Memo
from app.studio.messages import MessageError
from app.studio.workbench import Cancelled, FamilyTask, Models, Numbers
from merging_core.errors import CancelledError, Problem, closest
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.confusion import confusion
from merging_core.evaluation.disagreements import disagreements
from merging_core.evaluation.evaluator import parts_of
from merging_core.evaluation.intervals import wilson
from merging_core.evaluation.pictures import blank, picture_for
from merging_core.evaluation.predictions import logits_of, predicted, probabilities
from merging_core.evaluation.tasks import Task

__all__ = ["SPLIT", "Looks", "task_named"]

SPLIT = "validation"
"""The only split whose pictures are ever shown."""

_STRIP = 24
_TOP = 3
_MISTAKES = 3
_SINGLE = 512
_WHOLE = 64

Classes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Answered:
    """Predicted classes on a whole validation split, in its stratified order."""

    labels: Classes
    said: Classes
    examples: Classes


def picture_task_named(models: Models, family: Family, name: str) -> Task:
    """Return a task of pictures; raises `MessageError`."""
    task = task_named(models, family, name)
    if not isinstance(task, Task):
        raise MessageError(Problem("a task that can be tried has pictures", "one of texts", "message.task"))
    return task


def task_named(models: Models, family: Family, name: str) -> FamilyTask:
    """Return a task of a family; raises `MessageError` with the closest name."""
    tasks = models.tasks_of(family)
    for task in tasks:
        if task.name == name:
            return task
    fix = closest(name[:80], [task.name for task in tasks])
    raise MessageError(Problem(f"the task is one of {family.title}", name[:80], "message.task", fix))


class Looks:
    """Answers about pictures; safe to use from several threads.

    What base and experts say is kept by their content, so that they are opened, for the caller, before it is given.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._single: Memo[NDArray[np.float64]] = Memo(_SINGLE)
        self._whole: Memo[_Answered] = Memo(_WHOLE)

    def examples(self, family: Family, name: str, start: int) -> Numbers:
        """Return validation pictures from a place in the split's stratified order, round again at its end."""
        task = picture_task_named(self._models, family, name)
        split, labels = task.splits[SPLIT], task.labels(SPLIT)
        n = len(split)
        places = [(start + step) % n for step in range(min(_STRIP, n))]
        chosen = [split.order[place] for place in places]
        rows = [
            {"example": place, "truth": task.classes[int(labels[index])]}
            for place, index in zip(places, chosen, strict=True)
        ]
        return {"task": name, "split": SPLIT, "n": n, "examples": rows, "sprite": sprite(split.images[chosen])}

    def try_it(
        self,
        state: StudioState,
        family: Family,
        name: str,
        picture: bytes | None,
        example: int | None,
        cancelled: Cancelled,
    ) -> Numbers:
        """Ask the merge, the base and each expert in use about one picture.

        Raises: `EvaluationError` if the picture does not fit or shows nothing; `CancelledError` between two models.
        """
        task = picture_task_named(self._models, family, name)
        if picture is not None and task.channels != 1:
            must, fix = "a picture that is drawn or opened is for a task of gray ones", "pick an example"
            raise MessageError(Problem(must, "a task of colours", "message.picture", fix))
        image, label = self._example(task, example) if picture is None else (picture_for(task, picture), None)
        if bool(blank(image)[0]):
            raise MessageError(Problem("the picture shows something", "one gray alone", "picture", "draw a line"))
        engine = self._models.engine
        merged = engine.merge(state.recipe)
        config = merged.plan.survey.reference.config
        rows: list[Numbers] = [
            self._row("merge", "", "merge", None, task, self._ask(config, merged.weights, task, image))
        ]
        asked = [(family.base, "base")] if family.base is not None else []
        asked += [(entry.ref, "expert") for entry in state.recipe.models]
        digest = hashlib.sha256(image.numpy().tobytes()).hexdigest()
        for ref, kind in asked:
            _go_on(cancelled)
            found = self._single.get(
                (engine.opened(ref, family.base).content(), task.name, digest),
                lambda ref=ref: self._ask(config, engine.checkpoint(ref, family.base), task, image),  # type: ignore[misc]
                cancelled,
            )
            rows.append(self._row(kind, ref, family.title_of(ref), family.colour_of(ref), task, found))
        return {
            "task": task.name,
            "title": family.title_of_task(task.name, task.title),
            "side": task.image_size,
            "picture": base64.b64encode(image.numpy().tobytes()).decode() if task.channels == 1 else None,
            "photo": photo(image[0]) if task.channels == 3 else None,
            "example": example,
            "truth": None if label is None else task.classes[label],
            "models": rows,
        }

    def look(self, state: StudioState, family: Family, name: str, cancelled: Cancelled) -> Numbers:
        """Look at one task of a merge on the whole validation split.

        Raises: what the engine says of the recipe; `CancelledError`.
        """
        task = task_named(self._models, family, name)
        merged = self._models.engine.merge(state.recipe)
        config = merged.plan.survey.reference.config
        ours = self._whole.get(
            (merged.hash, task.name), lambda: self._answers(config, merged.weights, task, cancelled), cancelled
        )
        expert = own_expert(family, state, task.name)
        theirs = None
        if expert is not None:
            weights = self._models.engine.checkpoint(expert.ref, family.base)
            theirs = self._whole.get(
                (self._models.engine.opened(expert.ref, family.base).content(), task.name),
                lambda: self._answers(config, weights, task, cancelled),
                cancelled,
            )
        return {"hash": merged.hash, **look_numbers(task, family, ours, expert, theirs)}

    def _example(self, task: Task, place: int | None) -> tuple[torch.Tensor, int]:
        split, labels = task.splits[SPLIT], task.labels(SPLIT)
        if place is None or place >= len(split):
            must = f"the example is one of the {len(split)} of validation"
            raise MessageError(Problem(must, f"number {place}", "message.example"))
        index = split.order[place]
        return split.images[index : index + 1], int(labels[index])

    def _ask(self, config: Mapping[str, Any], weights: Weights, task: Task, image: torch.Tensor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = probabilities(logits_of(config, weights, task, image))[0]
        return found

    def _answers(
        self, config: Mapping[str, Any], weights: Weights, task: FamilyTask, cancelled: Cancelled
    ) -> _Answered:
        parts = parts_of([task], SPLIT, "full")
        answers = self._models.evaluator.answers(config, weights, parts, cancelled)[0]
        return _Answered(answers.labels.cpu().numpy(), predicted(answers.logits), answers.examples)

    @staticmethod
    def _row(kind: str, ref: str, title: str, colour: int | None, task: Task, shares: NDArray[np.float64]) -> Numbers:
        answered = bool(np.isfinite(shares).all())
        best = np.argsort(-shares, kind="stable")[: _TOP if answered else 0]
        top = [{"class": task.classes[int(index)], "probability": float(shares[index])} for index in best]
        return {"kind": kind, "ref": ref, "title": title, "colour": colour, "answered": answered, "top": top}


def own_expert(family: Family, state: StudioState, task: str) -> Expert | None:
    """Return the expert of a task: the first in use that was fine-tuned on it, else the family's first."""
    used = {plain(entry.ref) for entry in state.recipe.models}
    own = [expert for expert in family.experts if expert.task == task]
    return next((expert for expert in own if plain(expert.ref) in used), own[0] if own else None)


def look_numbers(
    task: FamilyTask, family: Family, ours: _Answered, expert: Expert | None, theirs: _Answered | None
) -> Numbers:
    """Return what the page shows of one task (see docs/architecture.md); `theirs` are the expert's answers."""
    found = confusion(ours.labels.tolist(), ours.said.tolist(), len(task.classes))
    other = confusion(theirs.labels.tolist(), theirs.said.tolist(), len(task.classes)) if theirs else None
    beside = other.classes() if other else [None] * len(task.classes)
    classes = [
        {
            "name": name,
            "n": own.n,
            "right": own.right,
            "accuracy": own.accuracy,
            "interval": list(own.interval) if own.interval else None,
            "expert": their.accuracy if their else None,
        }
        for name, own, their in zip(task.classes, found.classes(), beside, strict=True)
    ]
    shares = [[None if np.isnan(share) else float(share) for share in row] for row in found.shares()]
    numbers: Numbers = {
        "task": task.name,
        "title": family.title_of_task(task.name, task.title),
        "split": SPLIT,
        "n": found.n,
        "accuracy": found.right / found.n,
        "interval": list(wilson(found.right, found.n)),
        "classes": classes,
        "confusion": {"counts": found.counts.tolist(), "shares": shares, "unanswered": found.unanswered.tolist()},
        "mistakes": _mistakes(found.counts, task.classes),
        "expert": None,
        "lost": None,
        "gained": None,
    }
    if expert is None or theirs is None or other is None:
        return numbers
    apart = disagreements(ours.labels.tolist(), ours.said.tolist(), theirs.said.tolist())
    return {
        **numbers,
        "expert": {
            "ref": expert.ref,
            "title": expert.title,
            "colour": expert.colour,
            "accuracy": other.right / other.n,
            "interval": list(wilson(other.right, other.n)),
        },
        "lost": _strip(task, apart.second_only, ours, theirs),
        "gained": _strip(task, apart.first_only, ours, theirs),
    }


def _mistakes(counts: NDArray[np.int64], classes: Sequence[str]) -> list[Numbers]:
    """Return the pairs that are confused most often."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    cells = [divmod(int(place), len(classes)) for place in order]
    return [
        {"truth": classes[row], "said": classes[column], "count": int(wrong[row, column])}
        for row, column in cells
        if wrong[row, column]
    ]


def _strip(task: FamilyTask, places: Classes, ours: _Answered, theirs: _Answered) -> Numbers:
    """Return the first pictures of those that the two see differently, and how many there are."""
    shown = places[:_STRIP]
    rows = [
        {
            "truth": task.classes[int(ours.labels[place])],
            "merge": _name(task, int(ours.said[place])),
            "expert": _name(task, int(theirs.said[place])),
        }
        for place in shown
    ]
    if not isinstance(task, Task):
        return {"n": len(places), "pictures": [], "sprite": sprite(torch.zeros(0, 1, 1, 1, dtype=torch.uint8))}
    pictures = task.splits[SPLIT].images[torch.from_numpy(ours.examples[shown])]
    return {"n": len(places), "pictures": rows, "sprite": sprite(pictures)}


def _name(task: FamilyTask, index: int) -> str:
    return task.classes[index] if index >= 0 else "no answer"


def _go_on(cancelled: Cancelled) -> None:
    if cancelled():
        raise CancelledError(Problem("models are asked while their answer is wanted", "a newer request"))
