"""Time the evaluation of many weights on the same examples: one after the other, and all at once.

    python -m benchmarks.many_weights [--cores 2] [--repeats 7] [--weights 16] [--only perceptron] [--json]

For the zoo's perceptron and its transformer, on the preview and on the whole validation split of their tasks,
interleaved repeats, milliseconds for each weight vector, best and median.
From weights in memory to loss and accuracy of each task:
- *one after the other*: the evaluator, once for each weight vector; its batches share the cores;
- *side by side*: as many weight vectors at a time as there are cores, each on one core from end to end;
- *together*: what `scores_of_many` does: one product of a stack of matrices a layer (perceptron only);
- *vmap*: `torch.func.vmap` of the pure function over stacked leaves.

Before anything is timed, all ways are compared with the first one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.cores import single_threaded_pool
from merging_core.engines import LiveEngine
from merging_core.engines.points import points_of
from merging_core.evaluation.architectures import Architecture, Weights, architecture, fitting
from merging_core.evaluation.evaluator import Evaluator, Part, parts_of
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.metrics import correct, losses
from merging_core.evaluation.report import Subset
from merging_core.evaluation.stacked import TOGETHER, scores_of_many
from merging_core.evaluation.tasks import AnyTask
from merging_core.process import keep_freed_memory

Row = tuple[list[float], list[float]]
"""Losses and accuracies of the tasks, for one weight vector."""
Way = Callable[[], list[Row]]
FAMILIES = {"perceptron": "basins", "transformer": "tiny"}
TOLERANCE = 2e-4
BATCH = 12


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the evaluation of many weights.")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--weights", type=int, default=16)
    parser.add_argument("--only", choices=FAMILIES, help="measure one model")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    found: dict[str, dict[str, dict[str, float]]] = {}
    wanted = {given.only: FAMILIES[given.only]} if given.only else FAMILIES
    for name, family in wanted.items():
        for subset in ("preview", "full"):
            found[f"{name}, {subset}"] = table(family, subset, given.weights, given.cores, given.repeats)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for title, rows in found.items():
        print(f"{title:<28} {'best':>9} {'median':>9}  ms a weight vector, {given.weights} of them")
        for way, row in rows.items():
            print(f"  {way:<26} {row['best']:>9.2f} {row['median']:>9.2f}")


def table(family: str, subset: Subset, count: int, cores: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return best and median milliseconds a weight vector, for each way."""
    zoo = load_zoo()
    known = zoo.family(family)
    tasks = [load_task(zoo.task_folder(task)) for task in known.tasks]
    points = points_of(LiveEngine(Catalog(zoo), "cpu"), known.experts[:3])
    shares = [(1.0 - a - b, a, b) for a, b in torch.rand(count, 2, generator=torch.Generator().manual_seed(0)).tolist()]
    stack = [points.weights(points.mixed(one)) for one in shares]
    ways = ways_of(points.config, stack, tasks, subset, cores)
    first, *others = ((name, way()) for name, way in ways.items())
    for name, rows in others:
        check(name, rows, first[1])
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - start) * 1e3 / count)
    return {name: {"best": min(times), "median": statistics.median(times)} for name, times in taken.items()}


def ways_of(
    config: dict[str, Any], stack: Sequence[Weights], tasks: Sequence[AnyTask], subset: Subset, cores: int
) -> dict[str, Way]:
    """Return every way, ready to run."""
    evaluator = Evaluator(workers=cores)
    parts = parts_of(tasks, "validation", subset)
    found = architecture(config)
    pool = single_threaded_pool(cores, "many-weights")
    inputs = torch.cat([part.task.prepared(part.task.inputs(part.split)[: part.stop]) for part in parts])
    orders = [torch.tensor(part.task.splits[part.split].order)[: part.stop] for part in parts]
    labels = [part.task.labels(part.split)[order] for part, order in zip(parts, orders, strict=True)]
    bound = [fitting(found, weights, torch.device("cpu")) for weights in stack]
    stacked = {name: torch.stack([one[name] for one in bound]) for name in bound[0]}

    def one_by_one() -> list[Row]:
        scores = [evaluator.scores(config, weights, parts) for weights in stack]
        return [([score.loss for score in row], [score.accuracy for score in row]) for row in scores]

    def together() -> list[Row]:
        groups = [stack[start : start + TOGETHER] for start in range(0, len(stack), TOGETHER)]
        scores = [row for group in groups for row in scores_of_many(evaluator, config, group, parts)]
        return [([score.loss for score in row], [score.accuracy for score in row]) for row in scores]

    def side_by_side() -> list[Row]:
        def forward(weights: Weights) -> torch.Tensor:
            with torch.inference_mode():
                return torch.cat([found.forward(weights, rows) for rows in inputs.split(4 * BATCH)])

        return scored(torch.stack(list(pool.map(forward, bound))), parts, labels)

    def halves(form: Callable[[torch.Tensor], torch.Tensor]) -> list[Row]:
        outputs = list(pool.map(form, inputs.tensor_split(cores)))
        return scored(torch.cat(outputs, dim=1), parts, labels)

    ways: dict[str, Way] = {"one after the other": one_by_one, "side by side": side_by_side}
    if evaluator.stacks(config, parts):
        ways["together"] = together
    ways["vmap"] = lambda: halves(lambda rows: by_vmap(found, stacked, rows))
    return ways


def by_vmap(found: Architecture, stacked: Weights, rows: torch.Tensor) -> torch.Tensor:
    """Return outputs [weights, n, …]; with gradients on, since only then products are ones that vmap knows."""
    with torch.enable_grad():
        mapped = torch.func.vmap(found.forward, in_dims=(0, None))
        return torch.cat([mapped(dict(stacked), piece) for piece in rows.split(BATCH)], dim=1).detach()


def scored(outputs: torch.Tensor, parts: Sequence[Part], labels: Sequence[torch.Tensor]) -> list[Row]:
    """Return losses and accuracies of outputs [weights, n of all tasks, …]."""
    rows: list[Row] = []
    with torch.inference_mode():
        for own in outputs:
            shares = own.split_with_sizes([part.stop for part in parts])
            answers = [
                (part.task.head.logits(share), own) for part, share, own in zip(parts, shares, labels, strict=True)
            ]
            right = [float(correct(*answer).double().mean()) for answer in answers]
            rows.append(([float(losses(*answer).double().mean()) for answer in answers], right))
    return rows


def check(name: str, rows: Sequence[Row], wanted: Sequence[Row]) -> None:
    """Stop where a way gives other numbers than the first one."""
    for row, known in zip(rows, wanted, strict=True):
        for loss, other in zip(row[0], known[0], strict=True):
            if abs(loss - other) > TOLERANCE * max(1.0, abs(other)):
                raise SystemExit(f"{name} gives {loss}, the evaluator {other}")


if __name__ == "__main__":
    main()
