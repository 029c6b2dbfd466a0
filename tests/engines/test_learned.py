"""Recipes with learned tensors: the same bits in both engines, and sentences where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.ring import Ring
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import CheckpointError, PlanError
from merging_core.recipes.changes import with_method, with_models
from tests.engines.away import AWAY, AwayDriver, Pretending
from tests.engines.world import Family, assert_same_bits, family

LEAVES = ("encoder.layers.0.mlp.fc1.weight", "encoder.layers.2.mlp.fc2.bias")


@pytest.fixture
def trio(tmp_path: Path) -> Family:
    return family(tmp_path / "models")


@pytest.fixture
def store(tmp_path: Path) -> LearnedTensors:
    return LearnedTensors((tmp_path / "learned",))


@pytest.fixture
def opened(catalog: Catalog, store: LearnedTensors) -> Catalog:
    return replace(catalog, learned=store)


def drawn(trio: Family) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    masks = {f"mask/{name}": torch.rand(trio.base_tensors[name].shape, generator=generator) for name in LEAVES}
    rows = {f"coefficients/{name}": torch.randn(3, generator=generator) for name in LEAVES[1:]}
    return {**masks, **rows}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("task_arithmetic", {"lambda": 0.5}),
        ("task_arithmetic", {"weights": [1.0, -0.5, [0.2, 0.9]], "dtype": "bfloat16"}),
        ("ties", {"layer_scaling": {"kind": "lines", "alpha_rule": "mean"}}),
        ("dare_linear", {"seed": 4}),
    ],
)
def test_both_engines_give_the_same_bits(
    trio: Family, opened: Catalog, store: LearnedTensors, method: str, changes: dict[str, Any]
) -> None:
    recipe = trio.recipe(method, **changes, tensors=str(store.keep(drawn(trio))))
    plan = make_plan(recipe, opened)
    live = LiveEngine(opened, "cpu").merge(recipe)
    assert_same_bits(live.weights, {name: leaf.float() if leaf.is_floating_point() else leaf
                                    for name, leaf in stream_leaves(plan, chunk_elements=5)})  # fmt: skip
    plain = LiveEngine(opened, "cpu").merge(replace(recipe, tensors=None))
    assert not torch.equal(live.flat, plain.flat)
    assert live.hash != plain.hash


@pytest.mark.parametrize("method", ["task_arithmetic", "ties"])
def test_a_device_gives_the_bits_of_the_cpu(
    method: str, trio: Family, opened: Catalog, store: LearnedTensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = trio.recipe(method, tensors=str(store.keep(drawn(trio))))
    plan = make_plan(recipe, opened)
    here = dict(stream_leaves(plan))
    assert_same_bits(here, dict(stream_leaves(plan, lane=Ring(AwayDriver(), 64, workers=1))))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    with Pretending():
        there = LiveEngine(opened, str(AWAY)).merge(recipe).weights
        assert_same_bits(here, {name: leaf.cpu() for name, leaf in there.items()})


def test_golden_coefficients_multiply_weights_and_a_mask_what_is_added(
    trio: Family, opened: Catalog, store: LearnedTensors
) -> None:
    name = LEAVES[0]
    mask = torch.full((8, 4), 0.5)
    tensors = {"coefficients": torch.tensor([1.0, 2.0, 0.0]), f"mask/{name}": mask}
    recipe = trio.recipe("task_arithmetic", **{"lambda": 1.0}, tensors=str(store.keep(tensors)))
    merged = LiveEngine(opened, "cpu").merge(recipe).weights
    base, (first, second, _) = trio.base_tensors, trio.expert_tensors
    for leaf, share in ((name, 0.5), (LEAVES[1], 1.0)):
        expected = base[leaf] + share * ((first[leaf] - base[leaf]) + 2 * (second[leaf] - base[leaf]))
        assert torch.allclose(merged[leaf], expected, atol=1e-6)


def test_a_live_engine_tells_two_masks_apart(trio: Family, opened: Catalog, store: LearnedTensors) -> None:
    engine, name = LiveEngine(opened, "cpu"), LEAVES[0]
    flats = [
        engine.merge(trio.recipe("task_arithmetic", tensors=str(ref))).flat
        for ref in (store.keep({f"mask/{name}": torch.full((8, 4), share)}) for share in (0.25, 0.75))
    ]
    assert not torch.equal(*flats)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"coefficients": torch.ones(2)}, "one number for each expert"),
        ({"mask/nothing": torch.ones(2)}, "masks of merged leaves"),
        ({f"mask/{LEAVES[0]}": torch.ones(4, 8)}, "the shape of its leaf"),
        ({"coefficients": torch.tensor([1.0, 2.0, 1e9])}, "within"),
        ({"coefficients": torch.ones(3, dtype=torch.int64)}, "floating"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_a_sentence(
    trio: Family, opened: Catalog, store: LearnedTensors, tensors: dict[str, torch.Tensor], words: str
) -> None:
    recipe = trio.recipe("task_arithmetic", tensors=str(store.keep(tensors)))
    with pytest.raises(PlanError, match=words):
        make_plan(recipe, opened)


def test_methods_that_cannot_use_what_was_learned_say_so(trio: Family, opened: Catalog, store: LearnedTensors) -> None:
    tensors = str(store.keep(drawn(trio)))
    with pytest.raises(PlanError) as caught:
        make_plan(trio.recipe("uniform_soup", tensors=tensors), opened)
    assert len(caught.value.problems) == 2


def test_tensors_that_are_not_here_and_files_that_changed_are_refused(
    trio: Family, catalog: Catalog, opened: Catalog, store: LearnedTensors
) -> None:
    ref = store.keep(drawn(trio))
    recipe = trio.recipe("task_arithmetic", tensors=str(ref))
    with pytest.raises(CheckpointError, match="kept here"):
        make_plan(recipe, catalog)
    with pytest.raises(CheckpointError, match="none of this content"):
        make_plan(recipe, replace(catalog, learned=LearnedTensors(())))
    other = store.keep({"coefficients": torch.ones(3)})
    folder = store.folders[0]
    (folder / f"{other.path}.safetensors").rename(folder / f"{ref.path}.safetensors")
    with pytest.raises(CheckpointError, match="what their name says"):
        make_plan(recipe, opened)


def test_another_choice_of_models_or_method_leaves_learned_tensors_behind(trio: Family, store: LearnedTensors) -> None:
    recipe = trio.recipe("task_arithmetic", tensors=str(store.keep(drawn(trio))))
    assert with_models(recipe, [entry.ref for entry in recipe.models]).tensors == recipe.tensors
    assert with_models(recipe, [entry.ref for entry in reversed(recipe.models)]).tensors is None
    assert with_method(recipe, "ties").tensors is None
