"""Law 5: the live and the streaming engine give the same bits, for whatever is registered, however the model is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog, Checkpoint, Ref
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.streaming import stream_leaves
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from tests.engines.choices import DTYPES, recipes
from tests.engines.world import WIDE, assert_same_bits, family

WHOLE = 1 << 18
PLACEHOLDERS = ("file:/base", ("file:/0", "file:/1", "file:/2"))
NAMES = tuple(recipes(*PLACEHOLDERS))
NORMS = ("linear-none-lines-{'alpha_rule': 'sum'}", "ties-none-lines-{'alpha_rule': 'mean'}")


class Remembering:
    """A catalog that opens each reference once, so that its content is hashed once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.opened: dict[str, Checkpoint] = {}

    def open(self, ref: Ref | str, /) -> Checkpoint:
        if str(ref) not in self.opened:
            self.opened[str(ref)] = self.catalog.open(ref)
        return self.opened[str(ref)]

    def check_access(self, ref: Ref, /) -> None:
        self.catalog.check_access(ref)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Remembering:
    return Remembering(Catalog(Zoo(tmp_path_factory.mktemp("zoo"), (), {}, {}, {}), allow_files=True))


@pytest.fixture(scope="module")
def engine(catalog: Remembering) -> LiveEngine:
    return LiveEngine(catalog, "cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = family(tmp_path_factory.mktemp("small"))
    return recipes(made.base, made.experts)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = family(tmp_path_factory.mktemp("wide"), shapes=WIDE)
    return recipes(made.base, made.experts)


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = family(tmp_path_factory.mktemp("halves"), dtype=torch.bfloat16)
    return recipes(made.base, made.experts)


def streamed(recipe: Recipe, catalog: Remembering, chunk: int) -> dict[str, torch.Tensor]:
    return dict(stream_leaves(make_plan(recipe, catalog), chunk_elements=chunk))


def test_every_registered_combination_is_here() -> None:
    assert set(NORMS) <= set(NAMES)
    from merging_core.masks.registry import masks
    from merging_core.methods.registry import methods
    from merging_core.scaling.registry import scalings

    for info in methods():
        assert info.measures or any(name.startswith(f"{info.name}-") for name in NAMES)
    for mask in masks():
        assert any(f"-{mask.name}-" in name for name in NAMES)
    for scaling in scalings():
        assert any(f"-{scaling.name}-" in name for name in NAMES)


def _chunks(name: str) -> tuple[int, ...]:
    """Every recipe whole; small pieces, which take long, for one recipe of each kind."""
    if name.endswith("-constant-defaults"):
        return (1, 7, WHOLE)
    return (7, WHOLE) if name.endswith("-defaults") or "each" in name else (WHOLE,)


@pytest.mark.parametrize("name", NAMES)
def test_streaming_gives_the_bits_of_live_for_every_chunk_size_and_dtype(
    name: str, small: dict[str, Any], catalog: Remembering, engine: LiveEngine
) -> None:
    for dtype in DTYPES:
        recipe = parse_recipe({**small[name], "dtype": dtype})
        live = engine.merge(recipe).weights
        for chunk in _chunks(name) if dtype == "float32" else (64,):
            leaves = streamed(recipe, catalog, chunk)
            assert_same_bits(live, leaves)
            floating = {tensor.dtype for tensor in leaves.values() if tensor.is_floating_point()}
            assert floating == {getattr(torch, dtype)}


def _one_kind(name: str) -> bool:
    """Every method without a mask, and every mask before the plainest method: large leaves take long."""
    method, mask, scaling, changed = name.split("-", 3)
    return scaling == "constant" and changed == "defaults" and (mask == "none" or method == "task_arithmetic")


@pytest.mark.parametrize("name", [name for name in NAMES if _one_kind(name) or name in NORMS])
def test_threads_do_not_change_a_bit_of_leaves_that_are_cut_between_threads(
    name: str, wide: dict[str, Any], catalog: Remembering
) -> None:
    recipe = parse_recipe(wide[name])
    torch.set_num_threads(1)
    alone = LiveEngine(catalog, "cpu").merge(recipe).weights
    streamed_alone = streamed(recipe, catalog, 100_003)
    torch.set_num_threads(2)
    together = LiveEngine(catalog, "cpu").merge(recipe).weights
    streamed_together = streamed(recipe, catalog, WHOLE)
    for other in (streamed_alone, together, streamed_together):
        assert_same_bits(alone, other)


@pytest.mark.parametrize(
    "method", ["linear", "slerp", "model_stock", "task_arithmetic", "ties", "dare_ties", "tsv_m", "iso_cts"]
)
def test_bfloat16_checkpoints_are_merged_in_float32_and_rounded_once(
    method: str, halves: dict[str, Any], catalog: Remembering
) -> None:
    name = f"{method}-none-constant-defaults"
    for dtype in DTYPES:
        recipe = parse_recipe({**halves[name], "dtype": dtype})
        live = LiveEngine(catalog, "cpu").merge(recipe)
        assert_same_bits(live.weights, streamed(recipe, catalog, 7))
        exact = LiveEngine(catalog, "cpu").merge(parse_recipe({**halves[name], "dtype": "float32"})).flat
        assert torch.equal(live.flat, exact.to(getattr(torch, dtype)).float())


def test_the_same_recipe_gives_the_same_bits_twice_and_from_a_warm_cache(
    small: dict[str, Any], catalog: Remembering
) -> None:
    engine = LiveEngine(catalog, "cpu")
    recipe = parse_recipe(small["dare_ties-none-lines-defaults"])
    first = engine.merge(recipe).weights
    engine.merge(parse_recipe({**small["dare_ties-none-lines-defaults"], "seed": 4}))
    assert_same_bits(first, engine.merge(recipe).weights)
    assert_same_bits(first, LiveEngine(catalog, "cpu").merge(recipe).weights)


def test_another_base_gives_the_bits_of_a_fresh_engine(tmp_path: Path, catalog: Remembering) -> None:
    made = family(tmp_path)
    warm = LiveEngine(catalog, "cpu")
    for method in ("linear", "task_arithmetic"):
        recipe = made.recipe(method, layer_scaling={"kind": "lines", "alpha_rule": "sum"}, **{"lambda": 0.5})
        warm.merge(recipe)
        moved = parse_recipe({**recipe.as_json(), "base": made.experts[0]})
        assert_same_bits(warm.merge(moved).weights, LiveEngine(catalog, "cpu").merge(moved).weights)


def test_moving_one_slider_gives_the_bits_of_a_fresh_engine(tmp_path: Path, catalog: Remembering) -> None:
    made = family(tmp_path)
    warm = LiveEngine(catalog, "cpu")
    lines = {"kind": "lines", "alpha": 0.3, "beta": 0.9}
    for recipe in (
        made.recipe("ties"),
        made.recipe("ties", **{"lambda": 0.4}),
        made.recipe("ties", weights=[1.0, 0.5, -0.25]),
        made.recipe("ties", {"density": 0.5}),
        made.recipe("ties", {"density": 0.5, "scope": "leaf"}),
        made.recipe("ties", {"density": 0.5}, layer_scaling=lines),
        made.recipe("ties", {"density": 0.5}, layer_scaling={**lines, "applies_to": "each"}),
        made.recipe("ties", {"combine": "sum"}),
        made.recipe("dare_linear", {"density": 0.5}, seed=1),
        made.recipe("dare_linear", {"density": 0.5}, seed=2),
        made.recipe("task_arithmetic"),
        made.recipe("linear"),
        made.recipe("linear", **{"lambda": 0.5}),
    ):
        assert_same_bits(warm.merge(recipe).weights, LiveEngine(catalog, "cpu").merge(recipe).weights)
