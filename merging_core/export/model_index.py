"""A card's results as the Hub reads them: `model-index` in the front matter, one entry for each task and split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from merging_core.evaluation.percent import percent
from merging_core.export.results import Results, TaskResult

__all__ = ["model_index"]

_LONGEST = 120
_MARKUP = re.compile(r"[^\w ,.;:%()=+'’–/-]+")
_ADDRESS = re.compile(r"[/:]{2,}|\bwww\.")
_DIGITS = 4


def model_index(name: str, results: Sequence[Results]) -> list[dict[str, Any]]:
    """Return the `model-index` of a model of this name; empty where no task says what data it was measured on.

    Each accuracy is called by its task, number of examples and interval; a partial or transductive one says that it is.
    Names from outside keep their words and lose whatever could be markup, also for a reader of the file as Markdown.
    """
    named = _plain(name)
    entries = [
        entry
        for found in results
        for task in found.tasks
        if task.data is not None
        for entry in eval_results_to_model_index(named, [_result(found, task)])[0]["results"]
    ]
    return [{"name": named, "results": entries}] if entries else []


def _result(found: Results, task: TaskResult) -> EvalResult:
    assert task.data is not None, "only such tasks stand in the index"
    low, high = task.interval
    said = f"accuracy on {_plain(task.title)} ({task.n} examples, 95 % interval {percent(low)} – {percent(high)} %)"
    labels = [word for word, holds in (("partial", found.partial), ("transductive", found.transductive)) if holds]
    return EvalResult(
        task_type=task.data.kind,
        dataset_type=_plain(task.data.name),
        dataset_name=_plain(task.title),
        dataset_config=_plain(task.data.config) if task.data.config is not None else None,
        dataset_split=_plain(found.split),
        dataset_revision=task.data.revision,
        metric_type="accuracy",
        metric_value=round(task.accuracy, _DIGITS),
        metric_name=", ".join([said, *labels]),
    )


def _plain(text: str) -> str:
    """Return a text as words: no markup, no address, one line, at most 120 characters, never empty.

    >>> _plain("<b>Food</b>\\n# [x](http://a.test)"), _plain("<>")
    ('b Food /b x (http a.test)', 'unnamed')
    """
    words = _ADDRESS.sub(" ", _MARKUP.sub(" ", text))
    return " ".join(words.split())[:_LONGEST].strip() or "unnamed"
