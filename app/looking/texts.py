"""How surprised language models are by a text: the merge, its base and its experts, on the same tokens.

The tokenizer is the one in the folder of the base, or of the first expert that has one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.families import Family
from app.state import StudioState
from app.studio.here import check_here, opened_all
from app.studio.memo import Memo
from app.studio.workbench import Cancelled, Models, Numbers
from merging_core.checkpoints import Checkpoint
from merging_core.checkpoints.files import open_regular
from merging_core.errors import CancelledError, CheckpointError, EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, Weights, architecture
from merging_core.evaluation.evaluator import parts_of
from merging_core.evaluation.language_model import WINDOW, TextTask, text_task
from merging_core.evaluation.report import TaskScore
from merging_core.evaluation.tokenizing import TextTokenizer, read_tokenizer
from merging_core.hub.headers import RemoteCheckpoint

__all__ = ["LONGEST_TEXT", "TextLosses", "predicts_text"]

LONGEST_TEXT = 8_000
"""Characters of a text."""

_SPLIT = "validation"
_TOKENIZERS, _TEXTS, _SCORES = 2, 16, 256
_FILE = "tokenizer.json"
_LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class _Place:
    """Where a tokenizer lies: the checkpoint, and what tells its file from a later one of the same name."""

    checkpoint: Checkpoint
    stamp: tuple[str, int, int]


def predicts_text(config: Mapping[str, Any]) -> bool:
    """Say whether a configuration is that of a language model, whether it can be evaluated here or not.

    >>> predicts_text({"architectures": ["GPT2LMHeadModel"]}), predicts_text({"architectures": ["BertModel"]})
    (True, False)
    """
    names = config.get("architectures")
    return isinstance(names, list) and any(isinstance(name, str) and name.endswith(_LANGUAGE_MODELS) for name in names)


class TextLosses:
    """Losses on texts; safe to use from several threads.

    What the models say is kept by their content, so that they are opened, for the caller, before it is given.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._tokenizers: Memo[TextTokenizer] = Memo(_TOKENIZERS)
        self._tasks: Memo[TextTask] = Memo(_TEXTS)
        self._scores: Memo[Numbers] = Memo(_SCORES)

    def about(self, family: Family) -> Numbers:
        """Say whether the models are language models, and in one sentence what keeps them from reading a text.

        Models of which only the headers are here may have a tokenizer; what a text needs is asked for with the text.
        """
        opened = opened_all(family.refs, self._models.engine.opened)
        config = opened[0].config
        if not predicts_text(config):
            return {"reads": False, "sentence": None}
        try:
            architecture(config, "next tokens")
        except EvaluationError as error:
            return {"reads": True, "sentence": " ".join(str(problem) for problem in error.problems[:1])}
        if any(isinstance(one, RemoteCheckpoint) for one in opened):
            return {"reads": True, "sentence": None}
        try:
            _tokenizer_of(opened)
        except EvaluationError as error:
            return {"reads": True, "sentence": str(error.problems[0])}
        return {"reads": True, "sentence": None}

    def loss(self, state: StudioState, family: Family, text: str, cancelled: Cancelled) -> Numbers:
        """Score the merge, the base and each expert in use on one text.

        Raises: `EvaluationError` if the models read no text, have no tokenizer, or the text is too short;
        `CheckpointError` if one is not here; what the engine says of the recipe; `CancelledError`.
        """
        engine = self._models.engine
        opened = opened_all(family.refs, engine.opened)
        check_here(family.refs, engine.opened)
        found = architecture(opened[0].config, "next tokens")
        key, task = self._task(_tokenizer_of(opened), found, text)
        _go_on(cancelled)
        merged = engine.merge(state.recipe)
        config = merged.plan.survey.reference.config

        def score(content: str, weights: Weights) -> Numbers:
            return self._scores.get(
                (content, key), lambda: _said(self._score(config, weights, task, cancelled)), cancelled
            )

        rows = [_row("merge", "", "merge", None, score(f"merge {merged.hash}", merged.weights))]
        asked = [(family.base, "base")] if family.base is not None else []
        asked += [(entry.ref, "expert") for entry in state.recipe.models]
        for ref, kind in asked:
            _go_on(cancelled)
            content = engine.opened(ref, family.base).content()
            numbers = self._scores.known((content, key)) or score(content, engine.checkpoint(ref, family.base))
            rows.append(_row(kind, ref, family.title_of(ref), family.colour_of(ref), numbers))
        return {
            "reads": True,
            "sentence": None,
            "n": len(task.splits[_SPLIT]),
            "words": f"One text, no split: {task.description}",
            "models": rows,
        }

    def _task(self, place: _Place, found: Architecture, text: str) -> tuple[tuple[object, ...], TextTask]:
        window = max(2, min(WINDOW, found.longest))
        digest = hashlib.sha256(text.encode()).hexdigest()
        key = (place.stamp, window, digest)
        where = place.checkpoint
        tokenizer = self._tokenizers.get(place.stamp, lambda: read_tokenizer(where.folder, root=where.root))
        task = self._tasks.get(key, lambda: text_task(text, tokenizer, window=window, stride=max(1, window // 2)))
        return key, task

    def _score(self, config: Mapping[str, Any], weights: Weights, task: TextTask, cancelled: Cancelled) -> TaskScore:
        return self._models.evaluator.scores(config, weights, parts_of([task], _SPLIT, "full"), cancelled)[0]


def _tokenizer_of(checkpoints: list[Checkpoint]) -> _Place:
    """Return the first tokenizer that there is, or raise `EvaluationError`."""
    for checkpoint in checkpoints:
        try:
            with open_regular(checkpoint.folder / _FILE, root=checkpoint.root or checkpoint.folder):
                status = (checkpoint.folder / _FILE).stat()
        except (CheckpointError, OSError):
            continue
        return _Place(checkpoint, (checkpoint.content(), status.st_mtime_ns, status.st_size))
    must, got = "the base or an expert comes with its tokenizer", f"no {_FILE}"
    fix = f"put the {_FILE} that belongs to the model beside its weights"
    raise EvaluationError(Problem(must, got, "", fix))


def _said(score: TaskScore) -> Numbers:
    numbers = score.as_json()
    return {name: numbers[name] for name in ("loss", "loss_interval", "perplexity", "perplexity_interval")}


def _row(kind: str, ref: str, title: str, colour: int | None, numbers: Numbers) -> Numbers:
    return {"kind": kind, "ref": ref, "title": title, "colour": colour, **numbers}


def _go_on(cancelled: Cancelled) -> None:
    if cancelled():
        raise CancelledError(Problem("models are asked while their answer is wanted", "a newer request"))
