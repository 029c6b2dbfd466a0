"""Safety realignment: its gradient, what it learns from, and that a destroyed behaviour comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from merging_core.engines import make_plan
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import EvaluationError, RecipeError
from merging_core.evaluation.tasks import Task
from merging_core.learning import Finished, Progress, State, parse_spec
from merging_core.learning.batches import rows_of_batch
from merging_core.learning.contract import Draw
from merging_core.learning.relaxation import uniform
from tests.engines.world import assert_same_bits
from tests.learning.world import World

BEHAVIOUR = "small/task-1"


def spec_of(world: World, **changes: Any) -> Any:
    return world.spec("safety_realignment", **{"learn_from": [BEHAVIOUR], **changes})


def test_the_gradient_is_that_of_the_behaviour_alone_by_finite_differences(small: World) -> None:
    spec = spec_of(small, params={"lambda": 0.7, "temperature": 0.4})
    generator = torch.Generator().manual_seed(2)
    with small.session(spec) as session:
        values = {"logits": torch.randn(session.state.values["logits"].shape, generator=generator).requires_grad_()}
        space = session.standing.ground.space
        merged = session._learnable.merged(values, Draw(0))
        *_, gradient = session._batches.gradient(merged, 0)
        assert gradient is not None
        assert len(gradient.losses) == 1
        pairs = [(merged[name], leaf) for name, leaf in gradient.leaves.items()]
        (found,) = torch.autograd.grad([a for a, _ in pairs], [values["logits"]], [b for _, b in pairs])
    base, *experts = (small.catalog.open(ref) for ref in (small.base, *small.experts))
    task = small.tasks[1]
    split = task.splits["train"]
    assert split.labels is not None
    places = torch.tensor(split.order)[rows_of_batch(len(split), spec.batch, 0, spec.seed, task.name)]
    inputs = task.pixels(split.images[places]).double().flatten(1)

    def loss(logits: torch.Tensor) -> torch.Tensor:
        leaves = {}
        for leaf in space.leaves:
            own = logits[leaf.start : leaf.stop]
            chance = uniform(spec.seed, 0, leaf.name, leaf.elements)
            mask = torch.sigmoid((torch.log(chance) - torch.log1p(-chance) + own) / 0.4)
            mask = (mask / mask.mean()).view(leaf.shape)
            start = base.read(leaf.name).double()
            added = sum(expert.read(leaf.name).double() - start for expert in experts)
            leaves[leaf.name] = start + 0.7 * mask * added
        hidden = (inputs @ leaves["layers.0.weight"].T + leaves["layers.0.bias"]).relu()
        logs = (hidden @ leaves["layers.1.weight"].T + leaves["layers.1.bias"]).log_softmax(1)
        return -logs[torch.arange(len(places)), split.labels[places]].mean()

    at = values["logits"].detach().double()
    for place in (2, 40, 103, 118):
        step = torch.zeros_like(at)
        step[place] = 1e-5
        slope = float(loss(at + step) - loss(at - step)) / 2e-5
        assert float(found[place]) == pytest.approx(slope, rel=5e-3, abs=2e-6)


def test_a_behaviour_that_an_expert_destroyed_comes_back_and_the_recipe_is_its_mask(small: World) -> None:
    """The labels of the behaviour are what the aligned model answers, so that a change of it can only lose them."""
    aligned, task = small.catalog.open(small.base), small.tasks[1]
    weights = {name: aligned.read(name) for name in aligned.leaves}
    for split in task.splits.values():
        if split.labels is not None:
            split.labels.copy_(answered(weights, task, split.images).argmax(1))
    spec = spec_of(
        small, models=[small.experts[0]], steps=40, batch=18, params={"mask_rate": 0.3, "final": "probability"}
    )
    with small.session(spec) as session:
        events = list(session.events())
    last = events[-1]
    assert isinstance(last, Finished)
    learned = small.engine().merge(last.recipe).weights
    plain = small.engine().merge(spec.recipe()).weights
    train = task.splits["train"]
    assert train.labels is not None
    lost, kept = (cross_entropy(answered(found, task, train.images), train.labels) for found in (plain, learned))
    assert float(kept) < 0.6 * float(lost)
    assert_same_bits(learned, dict(stream_leaves(make_plan(last.recipe, small.catalog))))
    assert last.recipe.lambda_ == 1.0
    assert len(last.after.tasks) == 2
    assert {len(event.losses) for event in events if isinstance(event, Progress) and event.losses} == {1}


def answered(weights: Mapping[str, torch.Tensor], task: Task, images: torch.Tensor) -> torch.Tensor:
    hidden = (task.pixels(images).flatten(1) @ weights["layers.0.weight"].T + weights["layers.0.bias"]).relu()
    return hidden @ weights["layers.1.weight"].T + weights["layers.1.bias"]


def test_what_is_learned_from_is_named_by_the_end_of_its_name_and_kept(small: World, tmp_path: Any) -> None:
    spec = spec_of(small, learn_from=["task-1"])
    assert [task.name for task in spec.teachers(small.tasks)] == [BEHAVIOUR]
    assert parse_spec(json.loads(json.dumps(spec.as_json()))) == spec
    assert small.spec().teachers(small.tasks) == small.tasks
    with small.session(spec) as session:
        session.state.save(tmp_path / "state.safetensors")
    assert State.load(tmp_path / "state.safetensors").spec == spec


def test_a_task_that_the_run_does_not_have_is_no_teacher(small: World) -> None:
    with pytest.raises(EvaluationError, match="did you mean “task-1”"):
        small.session(spec_of(small, learn_from=["task-11"]))
    with pytest.raises(RecipeError, match="learn_from is a list of names"):
        spec_of(small, learn_from=BEHAVIOUR)
