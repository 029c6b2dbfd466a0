"""The training of curves: against float64 gradients of the objective, the same bits twice, around a real barrier."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from merging_core.analysis.curves.coefficients import coefficients
from merging_core.analysis.curves.curve import Curve, chord
from merging_core.analysis.curves.traces import excess_interval
from merging_core.analysis.curves.training import MOMENTUM, Course, CurveTraining, trained_of
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines.points import Points, points_of
from merging_core.errors import CancelledError, PlanError
from merging_core.evaluation.evaluator import parts_of
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.report import TaskScore
from merging_core.learning.batches import rows_of_batch
from merging_core.learning.relaxation import uniform

COURSE = Course(steps=4, batch=8, rate=0.1, decay=0.01, seed=5)


def trained(curve: Curve, course: Course, bench: StudyBench, memory: Memory, until: int | None = None) -> Curve:
    with CurveTraining(curve, course, bench, memory) as training:
        while training.step < (until or course.steps):
            for _ in training.go():
                pass
        training.keep()
        return training.curve


def reference(points: Points, course: Course, bench: StudyBench) -> torch.Tensor:
    """The bends of a chain after its steps: autograd in float64 through the whole objective, and momentum by hand."""
    (task,) = bench.tasks
    inputs = task.prepared(task.inputs("train")).double().flatten(1)
    labels = task.labels("train")[torch.tensor(task.splits["train"].order)]
    first, last = (flat.double() for flat in points.flats)
    bends = torch.stack([first + (last - first) * share for share in (1 / 3, 2 / 3)]).requires_grad_()
    moment = torch.zeros_like(bends)
    for step in range(course.steps):
        t = float(uniform(course.seed, step, "curve", 1))
        shares = torch.tensor(coefficients("chain", 4, t), dtype=torch.float64)
        flat = shares @ torch.stack([first, *bends, last])
        leaves = points.space.views(flat)
        rows = rows_of_batch(len(inputs), course.batch, step, course.seed, task.name)
        values, depth = inputs[rows], len(leaves) // 2
        for layer in range(depth):
            values = linear(values, leaves[f"layers.{layer}.weight"], leaves[f"layers.{layer}.bias"])
            values = values.relu() if layer < depth - 1 else values
        objective = cross_entropy(values, labels[rows]) + 0.5 * course.decay * (flat**2).sum()
        (gradient,) = torch.autograd.grad(objective, bends)
        over = step / course.steps
        rate = course.rate * (1.0 if over <= 0.5 else 1.0 - 0.99 * (over - 0.5) / 0.4 if over < 0.9 else 0.01)
        moment = MOMENTUM * moment + gradient
        with torch.no_grad():
            bends -= rate * moment
    return bends.detach()


def test_its_steps_are_those_of_the_whole_objective_in_float64(bench: StudyBench, strangers: Points) -> None:
    found = trained(chord(strangers, "chain", 2), COURSE, bench, Memory())
    expected = reference(strangers, COURSE, bench)
    start = torch.stack(chord(strangers, "chain", 2).bends).double()
    assert float((expected - start).norm()) > 0.1
    torch.testing.assert_close(torch.stack(found.bends).double(), expected, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(bench: StudyBench, strangers: Points) -> None:
    line = chord(strangers, "bezier", 1)
    bits = [torch.stack(trained(line, COURSE, bench, Memory()).bends) for _ in range(2)]
    other = torch.stack(trained(line, replace(COURSE, seed=6), bench, Memory()).bends)
    assert torch.equal(*bits) and not torch.equal(bits[0], other)


def test_stopped_and_resumed_it_comes_to_the_same_bits(bench: StudyBench, strangers: Points) -> None:
    line, memory = chord(strangers, "bezier", 2), Memory()
    whole = trained(line, COURSE, bench, Memory())
    trained(line, COURSE, bench, memory, until=2)
    assert trained_of(line, memory)[1] == 2
    again = trained(line, COURSE, bench, memory)
    kept, step, losses = trained_of(line, memory)
    for other in (again, kept):
        assert torch.equal(torch.stack(whole.bends), torch.stack(other.bends))
    assert step == len(losses) == 4


def test_the_ends_stay_where_they_are(bench: StudyBench, strangers: Points) -> None:
    before = [flat.clone() for flat in strangers.flats]
    found = trained(chord(strangers, "bezier", 1), COURSE, bench, Memory())
    assert torch.equal(found.points.flats[0], before[0]) and torch.equal(found.points.flats[-1], before[1])
    assert all(torch.equal(flat, old) for flat, old in zip(strangers.flats, before, strict=True))


def test_it_heeds_whoever_does_not_wait_and_says_when_it_runs_away(bench: StudyBench, strangers: Points) -> None:
    line = chord(strangers, "bezier", 1)
    with pytest.raises(CancelledError):
        trained(line, COURSE, replace(bench, cancelled=lambda: True), Memory())
    with pytest.raises(PlanError, match="smaller learning rate"):
        trained(line, replace(COURSE, rate=1e20), bench, Memory())


@pytest.mark.parametrize(("first", "steps", "above"), [("start", 1_000, 0.0), ("stranger-2", 400, 0.02)])
def test_it_goes_around_the_barrier_between_strangers(bench: StudyBench, first: str, steps: int, above: float) -> None:
    """The line rises by 1.9 nats of train loss. The curve is not above an end of 0.0085 by more than noise; where both
    ends were trained to 0.0001, it is by less than 0.02. It errs as rarely as its ends."""
    whole = replace(bench, tasks=(load_task(load_zoo().task_folder("basins/digits")),))
    parts = parts_of(whole.tasks, "train", "full")
    line = chord(points_of(bench.engine, [f"zoo:basins/{first}", "zoo:basins/stranger-1"]), "bezier", 1)
    curve = trained(line, Course(steps, 64, 0.1, 1e-4, 0), whole, Memory())

    def along(path: Curve) -> list[TaskScore]:
        return [whole.evaluator.scores(path.points.config, path.weights(i / 8), parts)[0] for i in range(9)]

    straight, around = along(line), along(curve)
    worse = max(around[0], around[-1], key=lambda score: score.loss)
    highest = max(around, key=lambda score: score.loss)
    low, _ = excess_interval([worse], [highest], "loss") or (math.inf, math.inf)
    assert max(score.loss for score in straight) > worse.loss + 1.5
    assert low <= above
    assert min(score.accuracy for score in around) >= min(around[0].accuracy, around[-1].accuracy) - 0.005
