"""Kernel behaviour: whether a model acts as its linearisation at the base does, and how far its own kernel moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, cast

import numpy
import torch
from numpy.typing import NDArray

from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.memory import Arrays, Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.tangents.ground import Classes, Ground, classes_of, ground_of, grown, runs_of
from merging_core.cores import on_one_core
from merging_core.evaluation.architectures import Weights, architecture, fitting, names_in
from merging_core.evaluation.evaluator import Part, need_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.intervals import PairCounts, difference, pair_counts, wilson
from merging_core.evaluation.kernels import Kernel, kernel_distance, kernel_rows
from merging_core.evaluation.tangents import tangent_logits
from merging_core.evaluation.tasks import AnyTask
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["KERNEL"]

Step = Callable[[], bool]
"""A piece of the work; says whether anything was measured for it now."""


@dataclass(eq=False)
class _Known:
    """What is known so far: by model and coefficient the classes given, and by model its kernels at base and model."""

    plain: dict[tuple[int, int], Classes] = field(default_factory=dict)
    linear: dict[tuple[int, int], Classes] = field(default_factory=dict)
    kernels: dict[int, tuple[Kernel, Kernel]] = field(default_factory=dict)


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure each model and its linearisation on previews, then the kernels, then whole splits."""
    ground, known = ground_of(spec, bench, memory), _Known()
    tasks, alphas = ground.own_tasks(len(spec.models)), _alphas(spec)
    work: list[Step] = []
    for subset in ground.passes:
        for model, task in enumerate(tasks):
            parts = ground.parts([task], subset)
            work += [partial(_run, ground, known, parts, model, place, alpha) for place, alpha in enumerate(alphas)]
            work += [partial(_linearise, ground, known, run, model, alphas) for run in runs_of(parts)]
        if subset == ground.passes[0]:
            work += [
                partial(_common, ground, known, task, model, at, example)
                for model, task in enumerate(tasks)
                for at in (None, model)
                for example in range(_examples(ground, task))
            ]
    for number, step in enumerate(work, 1):
        bench.heed()
        measured = step()
        if number == len(work) or measured:
            yield Finding(_numbers(ground, tasks, alphas, known), number / len(work))


def _alphas(spec: StudySpec) -> list[float]:
    count, end = int(spec.params.number("coefficients")), spec.params.number("range")
    return [end * (place + 1) / count for place in range(count)]


def _examples(ground: Ground, task: AnyTask) -> int:
    return min(int(ground.spec.params.number("examples")), len(task.splits[ground.split]))


def _only(ground: Ground, model: int, alpha: float) -> list[float]:
    return [alpha if place == model else 0.0 for place in range(len(ground.spec.models))]


def _run(ground: Ground, known: _Known, parts: Sequence[Part], model: int, place: int, alpha: float) -> bool:
    """Run θ₀ + α·τ on the examples of its own task."""
    name = f"model {model} at {alpha!r}"
    measured = not ground.has(name, parts)
    (found,) = ground.classes_at(name, partial(ground.weights, *_only(ground, model, alpha)), parts)
    _keep(known.plain, (model, place), found)
    return measured


def _linearise(ground: Ground, known: _Known, parts: Sequence[Part], model: int, alphas: Sequence[float]) -> bool:
    """Find what the linearised model answers at every coefficient, by one derivative along τ."""
    name = f"model {model} linearised"

    def derived(missing: list[Part]) -> list[Arrays]:
        (tangents,) = ground.tangents(ground.vector(*_only(ground, model, 1.0)), missing)
        rows = [classes_of(tangent_logits([tangents], [alpha])) for alpha in alphas]
        return [{"classes": numpy.stack(rows, axis=1)}]

    measured = not ground.has(name, parts)
    (found,) = grown(ground.memory, name, parts, derived)
    for place in range(len(alphas)):
        _keep(known.linear, (model, place), found["classes"][:, place].astype(numpy.int32))
    return measured


def _keep(answers: dict[tuple[int, int], Classes], at: tuple[int, int], found: Classes) -> None:
    if at not in answers or len(found) > len(answers[at]):
        answers[at] = found


def _common(ground: Ground, known: _Known, task: AnyTask, model: int, at: int | None, example: int) -> bool:
    """Find one example's rows of a kernel, at the base (None) or at a model; with the last one the kernel is known."""
    where = "the base" if at is None else f"model {at}"
    names = [f"kernel at {where}|{task.name}|{i}" for i in range(_examples(ground, task))]
    measured = names[example] not in ground.memory
    if measured:
        shares = [0.0] * len(ground.spec.models) if at is None else _only(ground, at, 1.0)
        ground.memory.put(names[example], rows=_rows(ground, task, ground.weights(*shares), example))
    if at is not None and example == len(names) - 1:
        base = [name.replace(where, "the base") for name in names]
        known.kernels[model] = _whole(ground.memory, base), _whole(ground.memory, names)
    return measured


def _rows(ground: Ground, task: AnyTask, weights: Weights, example: int) -> NDArray[numpy.float32]:
    """Return `[k, n, k]`: what the gradients of k logits of one example have in common with those of all n."""
    device = ground.bench.evaluator.device
    found = architecture(ground.points.config, *need_of(task))
    own = task.head.leaves if isinstance(task.head, OwnHead) else {}
    held = {**weights, **own}
    bound = fitting(found, held, device)
    merged = {leaf.name for leaf in ground.points.space.leaves} - set(own)
    moving = {name for name, file in names_in(found, held).items() if file in merged}
    head = task.head.to(device).meeting(found.projected)
    count = min(int(ground.spec.params.number("logits")), len(task.classes))
    picked = torch.linspace(0, len(task.classes) - 1, count, device=device).round().long()
    inputs = task.inputs(ground.split)[: _examples(ground, task)]
    prepared = task.prepared(inputs).to(device)
    rows = on_one_core(
        lambda: kernel_rows(
            lambda leaves, inputs: head.logits(found.forward(leaves, inputs))[:, picked],
            {name: leaf for name, leaf in bound.items() if name in moving},
            {name: leaf for name, leaf in bound.items() if name not in moving},
            prepared,
            example,
        )
    )
    return rows.cpu().numpy()


def _whole(memory: Memory, names: Sequence[str]) -> Kernel:
    """Put rows together; both halves of a kernel are the same but for rounding, so their mean is taken."""
    kernel = numpy.stack([(memory.get(name) or {})["rows"] for name in names]).astype(numpy.float64)
    return (kernel + kernel.transpose(2, 3, 0, 1)) / 2


def _numbers(ground: Ground, tasks: Sequence[AnyTask], alphas: Sequence[float], known: _Known) -> dict[str, object]:
    split, labels = ground.split, ground.labels
    truths = ground.truths(ground.parts(tasks, "full"))
    points = [
        {
            "place": model,
            "model": labels[model],
            "task": tasks[model].name,
            "title": tasks[model].title,
            "alpha": alphas[place],
            **_point(truths[model], found, known.linear.get((model, place))),
        }
        for (model, place), found in sorted(known.plain.items())
    ]
    kernels = [
        {
            "place": model,
            "model": labels[model],
            "task": tasks[model].name,
            "title": tasks[model].title,
            "examples": len(base),
            "logits": base.shape[1],
            **_moved(base, there),
        }
        for model, (base, there) in sorted(known.kernels.items())
    ]
    seen = {point["task"]: point["n"] for point in reversed(points)}
    n = sum(cast("dict[str, int]", seen).values())
    finished = len(known.linear) == len(tasks) * len(alphas) and len(kernels) == len(tasks)
    sizes = {task.name: len(truth) for task, truth in zip(tasks, truths, strict=True)}
    short = any(point["n"] < sizes[point["task"]] for point in points)
    moved = f"; kernels of {kernels[0]['examples']} examples" if kernels else ""
    return {
        "sentence": "Accuracy of each model and of its linearisation at the base, on the model's own task; "
        f"{split} n {n}{moved}.",
        "n": {split: n},
        "partial": not finished or short,
        "models": labels,
        "split": split,
        "points": points,
        "kernels": kernels,
    }


def _point(truth: NDArray[numpy.int64], plain: Classes, linear: Classes | None) -> dict[str, Any]:
    """Return both accuracies on the examples that both have seen; the model's own until the other is known."""
    if linear is None:
        correct, n = int((plain == truth[: len(plain)]).sum()), len(plain)
        same = {"n": n, "accuracy": correct / n, "interval": list(wilson(correct, n))}
        return {**same, "linearised": None, "linearised_interval": None, "difference": None}
    n = min(len(plain), len(linear))
    return _compared(pair_counts(linear[:n] == truth[:n], plain[:n] == truth[:n]))


@lru_cache(maxsize=4096)
def _compared(pair: PairCounts) -> dict[str, Any]:
    """Return both accuracies and the paired difference, linearised − non-linear."""
    linear, plain = pair.both + pair.first_only, pair.both + pair.second_only
    return {
        "n": pair.n,
        "accuracy": plain / pair.n,
        "interval": list(wilson(plain, pair.n)),
        "linearised": linear / pair.n,
        "linearised_interval": list(wilson(linear, pair.n)),
        "difference": difference([pair]).as_json(),
    }


def _moved(base: Kernel, there: Kernel) -> dict[str, Any]:
    """Return how far a kernel has turned and how much it has grown."""
    found = kernel_distance(base, there)
    size = len(base) * base.shape[1]
    start, end = (float(numpy.trace(kernel.reshape(size, size))) for kernel in (base, there))
    return {
        "distance": None if found is None else found.value,
        "interval": None if found is None else list(found.interval),
        "growth": end / start if start and math.isfinite(end / start) else None,
    }


def _three(estimate: Mapping[str, Any] | None) -> tuple[float | None, ...]:
    return (None, None, None) if estimate is None else (estimate["value"], *estimate["interval"])


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    points = tuple(
        (
            point["model"], point["title"], point["alpha"], point["accuracy"], *point["interval"], point["linearised"],
            *(point["linearised_interval"] or (None, None)), *_three(point["difference"]), point["n"],
        )
        for point in cast("list[dict[str, Any]]", numbers["points"])
    )  # fmt: skip
    kernels = tuple(
        (
            row["model"], row["title"], row["distance"], *(row["interval"] or (None, None)), row["growth"],
            row["examples"], row["logits"],
        )
        for row in cast("list[dict[str, Any]]", numbers["kernels"])
    )  # fmt: skip
    return {
        "behaviour": Table(
            "Accuracy of the models and of their linearisations",
            (
                "model", "task", "α", "accuracy", "95 % low", "95 % high", "linearised", "linearised, 95 % low",
                "linearised, 95 % high", "difference", "difference, 95 % low", "difference, 95 % high", "n",
            ),
            points,
        ),
        "kernels": Table(
            "How far the kernel moves from the base",
            ("model", "task", "distance", "95 % low", "95 % high", "trace ÷ that at the base", "examples", "logits"),
            kernels,
        ),
    }  # fmt: skip


KERNEL = Study(
    name="kernel",
    title="Kernel behaviour",
    formula="f(x; θ₀ + α·τₜ) against f(x; θ₀) + α·∇f(x; θ₀)·τₜ;  d = 1 − ⟨K₀, Kₜ⟩ / (‖K₀‖·‖Kₜ‖)",
    summary="Whether each model acts on its own task as its linearisation at the base does, and how far its neural "
    "tangent kernel moves from the base's.",
    source=Source(
        "Ortiz-Jimenez et al.",
        2023,
        "Task Arithmetic in the Tangent Space: Improved Editing of Pre-Trained Models",
        "https://arxiv.org/abs/2305.12827",
        "section 3",
        "Several coefficients are compared, not α = 1 alone; the distance of kernels is that of Fort et al. 2020, "
        "arXiv:2010.15110, on a few examples and logits.",
    ),
    parameters=(
        ParameterInfo("range", "Largest α", "number", 1.0, "The coefficients go up to this.", 0.1, 5, step=0.1),
        ParameterInfo("coefficients", "Coefficients", "integer", 4, "How many coefficients are compared.", 1, 40),
        ParameterInfo("examples", "Examples of the kernel", "integer", 8, "Examples between which it is.", 3, 64),
        ParameterInfo("logits", "Logits of the kernel", "integer", 2, "How many logits of each example.", 1, 16),
    ),
    group="tangent space",
    models=(1, 16),
    needs_base=True,
    answer=_answer,
    tables=_tables,
)
