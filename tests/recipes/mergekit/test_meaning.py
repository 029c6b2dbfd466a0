"""An imported recipe computes what mergekit computes: every method, on tiny checkpoints, against float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from benchmarks.mergekit_cases import NAMES, RECIPES, recipe
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.recipes.mergekit import export_mergekit, import_mergekit
from tests.recipes.mergekit.reference64 import BLOCKS, Leaves, merged64

SHAPES = {
    "model.embed_tokens.weight": (20, 12),
    **{f"model.layers.{block}.self_attn.q_proj.weight": (12, 12) for block in range(BLOCKS)},
    **{f"model.layers.{block}.mlp.up_proj.weight": (16, 12) for block in range(BLOCKS)},
    **{f"model.layers.{block}.input_layernorm.weight": (100,) for block in range(BLOCKS)},
    "model.norm.weight": (100,),
    "lm_head.weight": (20, 12),
}
CONFIG = '{"model_type": "llama", "num_hidden_layers": 3}'


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Leaves]]:
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(3)

    def drawn(size: float) -> dict[str, torch.Tensor]:
        return {name: size * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}

    base, common, found = drawn(1.0), drawn(0.1), dict[str, dict[str, torch.Tensor]]()
    for name in NAMES:
        own = drawn(0.1)
        made = {leaf: base[leaf] + common[leaf] + own[leaf] - 0.15 for leaf in base}
        # Half of a model's elements are as in the base, so that some changes are one model's alone.
        sparse = {leaf: torch.where(own[leaf] > -0.02, made[leaf], base[leaf]) for leaf in base}
        found[name] = sparse if name != "base" else base
    for leaf in SHAPES:
        # Where a and b cancel exactly, though most changes are negative.
        for name, sign in zip(NAMES, (0.0, 1.0, -1.0, 0.6), strict=True):
            found[name][leaf].view(-1)[:5] = sign * torch.tensor([0.5, 0.53, 0.57, 0.61, 0.67])
    for name in NAMES:
        (folder / name).mkdir()
        save_file(found[name], folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(CONFIG)
    return folder, {name: {leaf: one.double().numpy() for leaf, one in each.items()} for name, each in found.items()}


def ours(given: dict[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    found = import_mergekit(yaml.safe_dump(given).encode(), folder).recipe
    engine = LiveEngine(Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True), "cpu")
    return dict(engine.merge(found).weights)


@pytest.mark.parametrize("name", RECIPES)
def test_an_imported_recipe_gives_mergekits_numbers(name: str, models: tuple[Path, dict[str, Leaves]]) -> None:
    folder, leaves = models
    expected = merged64(RECIPES[name], {f"./{model}": each for model, each in leaves.items()})
    found = ours(RECIPES[name], folder)
    assert set(found) == set(expected)
    for leaf, wanted in expected.items():
        np.testing.assert_allclose(found[leaf].double().numpy(), wanted, rtol=2e-6, atol=2e-6, err_msg=leaf)


@pytest.mark.parametrize("method", ["dare_linear", "della_linear"])
def test_coins_keep_the_share_that_mergekit_keeps_and_the_sum_of_all_changes(
    method: str, models: tuple[Path, dict[str, Leaves]]
) -> None:
    folder, leaves = models
    found = ours(recipe(method, 0.5, density=0.6), folder)
    kept = total = 0
    for leaf, base in leaves["base"].items():
        change, made = 0.5 * (leaves["a"][leaf] - base), found[leaf].double().numpy() - base
        survives = np.abs(made) > 1e-9
        assert np.abs(made).sum() == pytest.approx(np.abs(change).sum(), rel=1e-4)
        gain = np.abs(change).sum() / np.abs(change[survives]).sum()
        np.testing.assert_allclose(made[survives], gain * change[survives], atol=2e-6)
        kept, total = kept + int(survives.sum()), total + int(np.count_nonzero(change))
    assert abs(kept / total - 0.6) < 5.0 * (0.24 / total) ** 0.5 + (0.05 if method == "della_linear" else 0.0)


def test_coins_are_not_scaled_where_rescale_is_false(models: tuple[Path, dict[str, Leaves]]) -> None:
    folder, leaves = models
    found = ours(recipe("dare_ties", 1, density=0.6, rescale=False), folder)
    for leaf, base in leaves["base"].items():
        change, made = leaves["a"][leaf] - base, found[leaf].double().numpy() - base
        assert bool(np.all((np.abs(made) < 1e-6) | (np.abs(made - change) < 1e-6)))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_is_written_for_mergekit_reads_back_as_the_same_merge(name: str, tmp_path: Path) -> None:
    found = import_mergekit(yaml.safe_dump(RECIPES[name]).encode(), tmp_path).recipe
    written = export_mergekit(found)
    again = import_mergekit(written.text.encode(), tmp_path).recipe
    # An average is the same with and without a base.
    assert (replace(again, base=found.base) if again.method.name == "linear" else again) == found
