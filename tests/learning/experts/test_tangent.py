"""Training the linearised model: its gradient against an explicit Jacobian, and an expert that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.nn.functional import cross_entropy

from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.text_tasks import own_head, text_classification
from merging_core.evaluation.tokenizing import read_tokenizer
from merging_core.learning import LearnSpec, Paused, State, open_run, parse_spec
from merging_core.learning.batches import Gradient, TaskBatches, rows_of_batch
from tests.evaluation.models import write_tokenizer
from tests.evaluation.test_text_tasks import CLASSES, model_of
from tests.evaluation.test_text_tasks import rows as texts_of
from tests.learning.experts.test_training import opened, trained
from tests.learning.world import CONFIG, World

Leaves = dict[str, torch.Tensor]


def linear_spec(small: World, **changes: object) -> LearnSpec:
    given = {
        "version": 1,
        "method": {"name": "train_linearised", "params": {"rate": 0.05, "warm_up": 0}},
        "base": small.base,
        "tasks": [small.tasks[0].name],
        "steps": 6,
        "batch": 6,
        "check": {"every": 3},
        "keep": "last",
    }
    return parse_spec({**given, **changes})


def moved_from(base: Leaves, seed: int) -> Leaves:
    generator = torch.Generator().manual_seed(seed)
    return {name: leaf + 0.3 * torch.randn(leaf.shape, generator=generator) for name, leaf in base.items()}


def test_the_gradient_is_that_of_an_explicit_jacobian_in_float64(small: World) -> None:
    checkpoint, task = small.catalog.open(small.base), small.tasks[0]
    base = {name: checkpoint.read(name) for name in checkpoint.leaves}
    weights = moved_from(base, 3)
    batches = TaskBatches(CONFIG, base, [task], "train", "cross_entropy", 10, 0, base=base)
    *_, found = batches.gradient(weights, 0)
    batches.close()
    assert isinstance(found, Gradient)

    order = torch.tensor(task.splits["train"].order)[rows_of_batch(18, 10, 0, 0, task.name)]
    inputs = task.pixels(task.splits["train"].images[order]).double().flatten(1)
    labels = task.splits["train"].labels
    assert labels is not None

    def logits(inner_bias: torch.Tensor, inner: torch.Tensor, bias: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
        return (inputs @ inner.T + inner_bias).relu() @ outer.T + bias

    names = ("layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight")
    at = tuple(base[name].double() for name in names)
    jacobian = torch.autograd.functional.jacobian(logits, at)
    steps = [(weights[name] - base[name]).double().requires_grad_() for name in names]
    rise = [(rows * step).flatten(2).sum(dim=2) for rows, step in zip(jacobian, steps, strict=True)]
    loss = cross_entropy(logits(*at) + torch.stack(rise).sum(dim=0), labels[order])
    expected = torch.autograd.grad(loss, steps)
    assert found.losses[0] == pytest.approx(loss.item(), rel=1e-5)
    for name, gradient in zip(names, expected, strict=True):
        assert torch.allclose(found.leaves[name].double(), gradient, rtol=1e-4, atol=1e-6)


def test_the_expert_and_its_numbers_are_of_the_linearised_model_and_its_card_says_so(
    small: World, tmp_path: Path
) -> None:
    ended = trained(small, linear_spec(small, steps=12), tmp_path / "expert")
    made, base = opened(ended.folder), small.catalog.open(small.base)
    leaves, start = ({name: one.read(name) for name in one.leaves} for one in (made, base))
    plain = Evaluator("cpu", workers=1)
    report = plain.linearised(start).evaluate(CONFIG, leaves, small.tasks[:1])
    assert report.loss == ended.after.loss
    assert ended.after.linearised and ended.after.as_json()["linearised"] is True
    assert report.loss != plain.evaluate(CONFIG, leaves, small.tasks[:1]).loss
    assert plain.evaluate(CONFIG, start, small.tasks[:1]).loss == pytest.approx(ended.before.loss, rel=1e-5)
    card = (ended.folder / "README.md").read_text(encoding="utf-8")
    assert "It was linearly tuned" in card
    assert "evaluate --linearised" in card


def test_a_run_that_was_stopped_and_goes_on_makes_the_same_expert(small: World, tmp_path: Path) -> None:
    whole = trained(small, linear_spec(small), tmp_path / "whole")
    asked = 0

    def heed() -> Literal["go", "pause"]:
        nonlocal asked
        asked += 1
        return "pause" if asked > 4 else "go"

    with open_run(linear_spec(small), small.bench(tmp_path / "parts")) as run:
        for event in run.events(heed):
            if isinstance(event, Paused):
                run.state.save(tmp_path / "state.safetensors")
                break
    rest = trained(small, linear_spec(small), tmp_path / "parts", State.load(tmp_path / "state.safetensors"))
    assert rest.digest == whole.digest


def test_an_own_head_stands_still_while_the_body_is_trained_linearly(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "words")
    _, config, leaves = model_of("Bert", tmp_path / "bert")
    _, _, other = model_of("Bert", tmp_path / "other", seed=1)
    head = own_head(config, other, "text classes", 3)
    texts = {split: texts_of(8) for split in ("train", "calibration", "validation", "test")}
    task = text_classification("one", CLASSES, texts, read_tokenizer(tmp_path / "words"), head)
    weights = {name: leaf + 0.01 if leaf.is_floating_point() else leaf for name, leaf in leaves.items()}
    batches = TaskBatches(config, leaves, [task], "train", "cross_entropy", 8, 0, base=leaves)
    *_, found = batches.gradient(weights, 0)
    batches.close()
    assert isinstance(found, Gradient)
    assert set(head.leaves).isdisjoint(found.leaves)
    report = Evaluator("cpu").linearised(leaves).evaluate(config, weights, [task], "train")
    assert found.losses[0] == pytest.approx(report.loss, rel=1e-4)
