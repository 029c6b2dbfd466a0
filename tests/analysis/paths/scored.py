"""Scores along a line, made of losses that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from merging_core.evaluation.report import TaskScore, make_score

__all__ = ["scores_of"]


def scores_of(
    rows: dict[float, dict[str, Sequence[float]]], split: str = "train", metric: str = "accuracy"
) -> dict[float, tuple[TaskScore, ...]]:
    """Return scores at each t of each task; an answer is right where its loss is below 0.7."""
    return {
        t: tuple(
            make_score(
                task,
                task.title(),
                split,
                len(losses),
                numpy.arange(len(losses))[::-1].copy(),
                numpy.asarray(losses) < 0.7,
                numpy.asarray(losses, dtype=numpy.float32),
                metric=metric,  # type: ignore[arg-type]
            )
            for task, losses in tasks.items()
        )
        for t, tasks in rows.items()
    }
