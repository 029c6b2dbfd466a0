"""What an evaluation says: scores of tasks, their average, and how much of the experts' accuracy is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.intervals import (
    Estimate,
    Interval,
    average_interval,
    difference,
    mean_interval,
    pair_counts,
    ratio,
    wilson,
)

__all__ = [
    "Comparison",
    "Report",
    "Subset",
    "TaskDifference",
    "TaskScore",
    "compare",
    "joined_score",
    "make_report",
    "make_score",
]

Subset = Literal["preview", "full"]


@dataclass(frozen=True, eq=False)
class TaskScore:
    """How a model did on n examples of one split of one task.

    `accuracy` in [0, 1] with its 95 % Wilson interval; `loss` the mean cross-entropy in nats. `examples`, `correct` and
    `losses` are per example, in the order of evaluation; `examples` are indices into the split. `of`: the split's size.
    Where the metric is perplexity, examples are the tokens of a text: `accuracy` is the share that had the largest
    logit, `loss` is in nats per token.
    """

    task: str
    title: str
    split: str
    accuracy: float
    interval: Interval
    loss: float
    n: int
    of: int
    examples: NDArray[numpy.int64]
    correct: NDArray[numpy.bool_]
    losses: NDArray[numpy.float32]
    metric: Literal["accuracy", "perplexity"] = "accuracy"

    @property
    def loss_interval(self) -> Interval | None:
        """The 95 % interval of the loss, by batch means; None if one example is all there is."""
        return mean_interval(self.losses)

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many equally likely tokens the model hesitates; infinite where exp is too large."""
        return _exp(self.loss)

    @property
    def perplexity_interval(self) -> Interval | None:
        """The 95 % interval of the perplexity: exp of the loss's."""
        found = self.loss_interval
        return None if found is None else (_exp(found[0]), _exp(found[1]))

    @property
    def partial(self) -> bool:
        """Whether less than the whole split was evaluated."""
        return self.n < self.of

    def first(self, n: int) -> TaskScore:
        """Return the score on the first `n` examples: the preview's, out of the full split's.

        Raises EvaluationError unless 1 ≤ n ≤ self.n.
        """
        if not 1 <= n <= self.n:
            raise EvaluationError(Problem(f"a part of a score has 1 to {self.n} examples", str(n), self.task))
        if n == self.n:
            return self
        part = slice(0, n)
        return make_score(
            self.task, self.title, self.split, self.of, self.examples[part], self.correct[part], self.losses[part],
            metric=self.metric,
        )  # fmt: skip

    def as_json(self) -> dict[str, object]:
        """Return plain values, without the examples; a loss that is not finite is null."""
        return {
            "task": self.task,
            "title": self.title,
            "split": self.split,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "loss": _finite(self.loss),
            "n": self.n,
            "of": self.of,
            "partial": self.partial,
            **(self._text_as_json() if self.metric == "perplexity" else {}),
        }

    def _text_as_json(self) -> dict[str, object]:
        ends = {"loss_interval": self.loss_interval, "perplexity_interval": self.perplexity_interval}
        intervals = {name: None if pair is None else [_finite(end) for end in pair] for name, pair in ends.items()}
        return {"metric": self.metric, "perplexity": _finite(self.perplexity), **intervals}


@dataclass(frozen=True, eq=False)
class Report:
    """Scores on tasks and what follows from them.

    `average`: the mean of the tasks' accuracies, each task counting alike; `loss`: the mean of their losses.
    `normalised`: mean over tasks of merged ÷ expert accuracy, over those tasks whose expert is known
    (`normalised_tasks`); None if there is none or an expert has no example right. `transductive`: the method adapted
    on test inputs. `linearised`: of the model linearised at its base (see `tangent`). Intervals are 95 % (`intervals`).
    """

    tasks: tuple[TaskScore, ...]
    split: str
    subset: Subset
    average: float
    average_interval: Interval
    loss: float
    normalised: float | None = None
    normalised_interval: Interval | None = None
    normalised_tasks: tuple[str, ...] = ()
    transductive: bool = False
    linearised: bool = False

    @property
    def n(self) -> int:
        """Examples of all tasks together."""
        return sum(score.n for score in self.tasks)

    @property
    def partial(self) -> bool:
        """Whether less than the whole split of some task was evaluated."""
        return any(score.partial for score in self.tasks)

    def against(self, experts: Mapping[str, TaskScore]) -> Report:
        """Return the report with `normalised`, given scores of the tasks' experts by task name.

        An expert's score may hold more examples than this report, as long as it begins with the same ones. Raises
        EvaluationError if it does not, or is of another split.
        """
        known = tuple(score for score in self.tasks if score.task in experts)
        pairs = [pair_counts(score.correct, _matching(score, experts[score.task]).correct) for score in known]
        found = ratio(pairs) if pairs else None
        if found is None:
            return replace(self, normalised=None, normalised_interval=None, normalised_tasks=())
        names = tuple(score.task for score in known)
        return replace(self, normalised=found.value, normalised_interval=found.interval, normalised_tasks=names)

    def as_json(self) -> dict[str, object]:
        """Return plain values, without the examples."""
        normalised = None
        if self.normalised is not None and self.normalised_interval is not None:
            normalised = {
                **Estimate(self.normalised, self.normalised_interval).as_json(),
                "tasks": list(self.normalised_tasks),
            }
        return {
            "split": self.split,
            "subset": self.subset,
            "n": self.n,
            "partial": self.partial,
            "transductive": self.transductive,
            "tasks": [score.as_json() for score in self.tasks],
            "average": {
                "accuracy": self.average,
                "interval": list(self.average_interval),
                "loss": _finite(self.loss),
            },
            "normalised": normalised,
            **({"linearised": True} if self.linearised else {}),
        }


@dataclass(frozen=True)
class TaskDifference:
    """The difference of two accuracies on the same n examples of a task, with its paired interval."""

    task: str
    title: str
    n: int
    estimate: Estimate


@dataclass(frozen=True)
class Comparison:
    """First minus second, per task and on average, by paired bootstrap."""

    tasks: tuple[TaskDifference, ...]
    average: Estimate
    split: str
    partial: bool
    transductive: bool

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        rows = [{"task": row.task, "title": row.title, "n": row.n, **row.estimate.as_json()} for row in self.tasks]
        return {
            "split": self.split,
            "partial": self.partial,
            "transductive": self.transductive,
            "tasks": rows,
            "average": self.average.as_json(),
        }


def make_score(
    task: str,
    title: str,
    split: str,
    of: int,
    examples: NDArray[numpy.int64],
    correct: NDArray[numpy.bool_],
    losses: NDArray[numpy.float32],
    *,
    metric: Literal["accuracy", "perplexity"] = "accuracy",
) -> TaskScore:
    """Sum up per-example outcomes `[n]` of one task; raises EvaluationError if n = 0.

    >>> score = make_score("t", "T", "test", 9, numpy.arange(2), numpy.array([True, False]), numpy.array([0.0, 2.0]))
    >>> score.accuracy, score.loss, score.partial
    (0.5, 1.0, True)
    """
    n, right = len(correct), int(numpy.count_nonzero(correct))
    interval = wilson(right, n)
    loss = float(losses.mean(dtype=numpy.float64))
    return TaskScore(task, title, split, right / n, interval, loss, n, of, examples, correct, losses, metric)


def joined_score(first: TaskScore, rest: TaskScore | None) -> TaskScore:
    """Return the score of some examples of a split and of those that follow them, if there are any."""
    if rest is None:
        return first
    return make_score(
        first.task,
        first.title,
        first.split,
        first.of,
        numpy.concatenate((first.examples, rest.examples)),
        numpy.concatenate((first.correct, rest.correct)),
        numpy.concatenate((first.losses, rest.losses)),
        metric=first.metric,
    )


def make_report(
    scores: Sequence[TaskScore],
    subset: Subset,
    experts: Mapping[str, TaskScore] | None = None,
    transductive: bool = False,
    *,
    linearised: bool = False,
) -> Report:
    """Return the report of the scores of one model on tasks of one split; raises EvaluationError if there are none."""
    splits = {score.split for score in scores}
    if len(splits) != 1:
        got = ", ".join(sorted(splits)) or "no task"
        raise EvaluationError(Problem("a report is over at least one task of one split", got, "tasks"))
    counts, totals = [int(numpy.count_nonzero(score.correct)) for score in scores], [score.n for score in scores]
    report = Report(
        tasks=tuple(scores),
        split=splits.pop(),
        subset=subset,
        average=math.fsum(score.accuracy for score in scores) / len(scores),
        average_interval=average_interval(counts, totals),
        loss=sum(score.loss for score in scores) / len(scores),
        transductive=transductive,
        linearised=linearised,
    )
    return report.against(experts) if experts else report


def compare(first: Report, second: Report) -> Comparison:
    """Compare two models on the same examples: first − second, per task and on average, by paired bootstrap.

    Raises EvaluationError with every task on which they were not evaluated on the same examples.
    """
    if [score.task for score in first.tasks] != [score.task for score in second.tasks]:
        got = " and ".join(", ".join(score.task for score in report.tasks) for report in (first, second))
        raise EvaluationError(Problem("two reports are compared on the same tasks", got, "tasks"))
    couples = list(zip(first.tasks, second.tasks, strict=True))
    problems = [
        Problem("two merges are compared on the same examples", f"{_which(one)} and {_which(other)}", one.task)
        for one, other in couples
        if one.split != other.split or not numpy.array_equal(one.examples, other.examples)
    ]
    if problems:
        raise EvaluationError(*problems)
    pairs = [pair_counts(one.correct, other.correct) for one, other in couples]
    rows = [
        TaskDifference(one.task, one.title, one.n, difference([pair]))
        for (one, _), pair in zip(couples, pairs, strict=True)
    ]
    transductive = first.transductive or second.transductive
    return Comparison(tuple(rows), difference(pairs), first.split, first.partial, transductive)


def _matching(score: TaskScore, expert: TaskScore) -> TaskScore:
    if expert.split == score.split and numpy.array_equal(expert.examples[: score.n], score.examples):
        return expert.first(score.n)
    must = "a merge is normalised by its expert on the same examples"
    raise EvaluationError(Problem(must, f"{_which(score)} and {_which(expert)}", score.task))


def _which(score: TaskScore) -> str:
    return f"{score.n} of {score.split}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
