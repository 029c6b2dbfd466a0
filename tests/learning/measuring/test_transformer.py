"""A small vision transformer with a layer behind its blocks: what is measured of attention, and of every layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.measured import FISHER, GRAM
from merging_core.engines.streaming import stream_leaves
from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.heads import PrototypeHead
from merging_core.learning import Finished, Progress, open_run
from merging_core.learning.batches import sources
from merging_core.learning.measuring.fisher import fisher_sums
from tests.engines.world import assert_same_bits, write
from tests.learning.world import World, world

CONFIG = {
    "model_type": "vit",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "image_size": 4,
    "patch_size": 2,
    "num_channels": 1,
}
LEAVES = architecture(CONFIG).leaves


def drawn(seed: int, scale: float = 0.4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * scale for name, shape in LEAVES.items()}


@pytest.fixture
def tower(tmp_path: Path) -> World:
    small = world(tmp_path / "small")
    generator = torch.Generator().manual_seed(5)
    heads = [torch.nn.functional.normalize(torch.randn(3, 8, generator=generator), dim=-1) for _ in small.tasks]
    tasks = tuple(replace(task, head=PrototypeHead(head, 5.0)) for task, head in zip(small.tasks, heads, strict=True))
    base = drawn(0)
    moved = [{name: leaf + drawn(seed, 0.1)[name] for name, leaf in base.items()} for seed in (1, 2)]
    store = LearnedTensors((tmp_path / "learned",))
    return World(
        write(tmp_path / "base", base, CONFIG),
        tuple(write(tmp_path / f"expert-{place}", leaves, CONFIG) for place, leaves in enumerate(moved)),
        tasks,
        Catalog(Zoo(tmp_path, (), {}, {}, {}), allow_files=True, learned=store),
        store,
    )


def test_fisher_information_goes_through_attention_as_gradients_taken_one_by_one(tower: World) -> None:
    leaves = drawn(1)
    source = next(iter(sources(CONFIG, leaves, tower.tasks[:1], "train", "entropy", torch.device("cpu"))))
    rows = source.inputs[:2]
    found = fisher_sums(source, leaves, rows, "exact")
    wide = {name: leaf.double().requires_grad_() for name, leaf in leaves.items()}
    head = source.task.head
    assert isinstance(head, PrototypeHead)
    for picture in source.task.prepared(rows).double():
        output = source.found.forward(source.bound(wide), picture[None])
        logs = torch.log_softmax(replace(head, prototypes=head.prototypes.double()).logits(output), dim=-1)[0]
        for log in logs:
            for leaf, gradient in zip(
                wide.values(), torch.autograd.grad(log, list(wide.values()), retain_graph=True), strict=True
            ):
                share = log.detach().exp() * gradient**2
                leaf.grad = share if leaf.grad is None else leaf.grad + share
    assert set(found) == set(LEAVES)
    for name, leaf in wide.items():
        torch.testing.assert_close(found[name], leaf.grad, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("method", ["fisher", "regmean", "regmean_plus_plus"])
def test_every_layer_is_measured_and_both_engines_merge_by_it(method: str, tower: World) -> None:
    with open_run(tower.spec(method, steps=2), tower.bench()) as run:
        events = list(run.events())
    last = events[-1]
    assert isinstance(last, Finished)
    live = LiveEngine(tower.catalog, "cpu").merge(last.recipe).weights
    plan = make_plan(last.recipe, tower.catalog)
    assert_same_bits(live, dict(stream_leaves(plan, chunk_elements=50)))
    measured = plan.survey.statistics[0]
    assert measured is not None
    layers = {name for name, shape in LEAVES.items() if len(shape) == 2 and "embed" not in name}
    assert set(measured.leaves) == (set(LEAVES) if method == "fisher" else layers)
    kind = FISHER if method == "fisher" else GRAM
    assert all(header.name.startswith(kind) for header in measured.leaves.values())
    if method == "regmean_plus_plus":
        said = {event.phase for event in events if isinstance(event, Progress)}
        assert any("after the blocks" in phase for phase in said)
