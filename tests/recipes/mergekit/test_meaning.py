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
NAMES = ("base", "a", "b", "c")
CONFIG = '{"model_type": "llama", "num_hidden_layers": 3}'
SLOPE, CASES = [0.2, 0.9], [{"filter": "mlp", "value": [0.3, 0.8]}, {"filter": "norm", "value": 1}, {"value": 0.6}]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Leaves]]:
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(3)

    def drawn(size: float) -> dict[str, torch.Tensor]:
        return {name: size * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}

    base, common, found = drawn(1.0), drawn(0.1), dict[str, dict[str, torch.Tensor]]()
    for name in NAMES:
        own = drawn(0.1)
        made = {leaf: base[leaf] + common[leaf] + own[leaf] for leaf in base} if name != "base" else base
        # Half of a model's elements are as in the base, so that some changes are one model's alone.
        sparse = {leaf: torch.where(own[leaf] > -0.02, made[leaf], base[leaf]) for leaf in base}
        found[name] = sparse if name != "base" else base
        (folder / name).mkdir()
        save_file(found[name], folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(CONFIG)
    return folder, {name: {leaf: one.double().numpy() for leaf, one in each.items()} for name, each in found.items()}


def recipe(method: str, *weights: Any, base: bool = True, each: dict[str, list[Any]] | None = None, **rest: Any) -> Any:
    """A recipe of the first models with these weights; None leaves a model's weight out."""
    entries = []
    for place, weight in enumerate(weights):
        own = {} if weight is None else {"weight": weight}
        own |= {name: values[place] for name, values in (each or {}).items() if values[place] is not None}
        entries.append({"model": f"./{NAMES[place + 1]}", **({"parameters": own} if own else {})})
    parameters = {"parameters": rest} if rest else {}
    return {"merge_method": method, **({"base_model": "./base"} if base else {}), "models": entries, **parameters}


RECIPES = {
    "linear": recipe("linear", 1, 0.5, 2, base=False),
    "linear over depth": recipe("linear", SLOPE, CASES, 0.5, base=False),
    "linear, plain sum": recipe("linear", 1, 0.5, 2, base=False, normalize=False),
    "linear, one weight for all but one": recipe("linear", None, SLOPE, None, base=False, weight=0.7),
    "slerp": recipe("slerp", None, t=0.3),
    "slerp over depth": recipe("slerp", None, t=CASES),
    "nuslerp": recipe("nuslerp", 0.7, 0.3),
    "nuslerp by rows": recipe("nuslerp", 0.7, 0.3, nuslerp_flatten=False),
    "nuslerp by columns": recipe("nuslerp", 0.7, 0.3, nuslerp_flatten=False, nuslerp_row_wise=True),
    "nuslerp without a base": recipe("nuslerp", [0.9, 0.2], [0.1, 0.8], base=False),
    "multislerp": recipe("multislerp", 1, 0.5, 2),
    "multislerp, weights as they are": recipe("multislerp", 0.5, 0.5, 1, normalize_weights=False),
    "multislerp without a base": recipe("multislerp", 1, 0.5, 2, base=False),
    "karcher": recipe("karcher", None, None, None, base=False, max_iter=50, tol=1e-5),
    "task_arithmetic": recipe("task_arithmetic", 1, -0.5, CASES, **{"lambda": 0.7}),
    "task_arithmetic, normalized": recipe("task_arithmetic", 1, 0.5, 2, normalize=True, **{"lambda": SLOPE}),
    "task_arithmetic, normalized over depth": recipe("task_arithmetic", SLOPE, 1, 2, normalize=True),
    "ties": recipe("ties", 1, 0.5, 2, density=0.35),
    "ties, densities of their own": recipe("ties", 1, SLOPE, 2, each={"density": [0.5, CASES, None]}, density=0.3),
    "ties, a sum": recipe("ties", 1, -0.5, 2, density=0.35, normalize=False, **{"lambda": 0.4}),
    "ties, all": recipe("ties", 1, 0.5, 2),
    "dare_ties, all": recipe("dare_ties", 1, 0.5, 2, **{"lambda": 0.5}),
    "dare_linear, all, normalized": recipe("dare_linear", 1, 0.5, 2, normalize=True),
    "breadcrumbs": recipe("breadcrumbs", 1, 0.5, 2, density=0.5, gamma=0.05),
    "breadcrumbs, all": recipe("breadcrumbs", 1, 0.5, 2),
    "breadcrumbs, some all": recipe(
        "breadcrumbs", 1, 0.5, 2, density=[{"filter": "mlp", "value": 0.6}, {"filter": "lm", "value": 0.5}]
    ),
    "breadcrumbs, normalized": recipe("breadcrumbs", 1, 0.5, 2, density=0.5, gamma=0.05, normalize=True),
    "breadcrumbs_ties": recipe("breadcrumbs_ties", 1, 0.5, 2, density=0.5, each={"gamma": [0.05, 0.1, 0.02]}),
    "della, all": recipe("della", 1, 0.5, 2),
    "della_linear, all": recipe("della_linear", 1, 0.5, SLOPE),
    "sce": recipe("sce", None, None, None),
    "sce, selected": recipe("sce", None, None, None, select_topk=[0.3, 0.6]),
    "ram": recipe("ram", None, None, None),
    "ramplus_tl": recipe("ramplus_tl", None, None, None, r=0.3, alpha=0.5, epsilon=[1e-5, 0.01]),
    "model_stock": recipe("model_stock", None, None, None),
    "model_stock by rows": recipe("model_stock", None, None, None, filter_wise=True),
    "nearswap": recipe("nearswap", None, t=[0.01, 0.05]),
    "arcee_fusion": recipe("arcee_fusion", None),
    "passthrough": recipe("passthrough", None, base=False),
    "passthrough, scaled": recipe("passthrough", None, base=False, scale=[{"filter": "q_proj", "value": SLOPE}]),
}


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
