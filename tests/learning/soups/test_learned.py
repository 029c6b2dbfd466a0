"""The learned soup: its start, its gradient, what its shares add up to, and its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from merging_core.learning import Finished
from merging_core.learning.batches import rows_of_batch
from merging_core.learning.contract import Draw
from tests.learning.world import World


def test_it_begins_at_the_plain_average(small: World) -> None:
    for params in ({"per": "leaf"}, {"per": "task"}, {"weights": "free"}):
        with small.session(small.spec("learned_soup", params)) as session:
            weights = session.weights()
        experts = [small.catalog.open(ref) for ref in small.experts]
        for name, leaf in weights.items():
            mean = torch.stack([expert.read(name).double() for expert in experts]).mean(0)
            assert torch.allclose(leaf.double(), mean, atol=1e-6)


@pytest.mark.parametrize("weights", ["softmax", "free"])
def test_the_gradient_by_the_shares_is_that_of_float64(small: World, weights: str) -> None:
    spec = small.spec("learned_soup", {"weights": weights})
    with small.session(spec) as session:
        values = {"shares": torch.tensor([[0.3, -0.2], [0.1, 0.5], [-0.4, 0.2], [0.0, 1.0]]).requires_grad_()}
        merged = session._learnable.merged(values, Draw(0))
        *_, gradient = session._batches.gradient(merged, 0)
        assert gradient is not None
        pairs = [(merged[name], leaf) for name, leaf in gradient.leaves.items()]
        (found,) = torch.autograd.grad([a for a, _ in pairs], [values["shares"]], [b for _, b in pairs])

    base, *experts = (small.catalog.open(ref) for ref in (small.base, *small.experts))

    def loss(shares: torch.Tensor) -> torch.Tensor:
        alphas = shares.softmax(1) if weights == "softmax" else shares
        leaves = {
            name: base.read(name).double()
            + sum(alpha * (expert.read(name).double() - base.read(name).double())
                  for alpha, expert in zip(row, experts, strict=True))
            for name, row in zip(base.leaves, alphas, strict=True)
        }  # fmt: skip
        total = torch.zeros((), dtype=torch.float64)
        for task in small.tasks:
            split = task.splits["train"]
            rows = rows_of_batch(len(split), spec.batch, 0, spec.seed, task.name)
            places = torch.tensor(split.order)[rows]
            inputs = task.pixels(split.images[places]).double().flatten(1)
            hidden = (inputs @ leaves["layers.0.weight"].T + leaves["layers.0.bias"]).relu()
            logs = (hidden @ leaves["layers.1.weight"].T + leaves["layers.1.bias"]).log_softmax(1)
            assert split.labels is not None
            total = total - logs[torch.arange(len(places)), split.labels[places]].mean()
        return total

    at = values["shares"].detach().double()
    for place in ((0, 0), (1, 1), (3, 0)):
        step = torch.zeros_like(at)
        step[place] = 1e-5
        slope = float(loss(at + step) - loss(at - step)) / 2e-5
        assert float(found[place]) == pytest.approx(slope, rel=2e-3, abs=1e-5)


def test_the_recipe_holds_shares_that_add_up_to_one(small: World) -> None:
    with small.session(small.spec("learned_soup", {"rate": 0.5})) as session:
        *_, last = session.events()
    assert isinstance(last, Finished)
    assert last.recipe.tensors is not None
    path: Path = small.store.folders[0] / f"{last.recipe.tensors.partition(':')[2]}.safetensors"
    tensors = safetensors.torch.load_file(path)
    assert len(tensors) == 4
    for row in tensors.values():
        assert float(row.sum()) == pytest.approx(1.0, abs=1e-6)
        assert float(row.min()) >= 0.0
    assert last.recipe.lambda_ == 1.0


def test_labels_of_validation_are_named_as_seen(small: World) -> None:
    assert small.spec("learned_soup", split="validation").seen
    assert not small.spec("learned_soup").seen
