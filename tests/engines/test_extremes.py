"""Every number of every method and mask at the ends of its range, where experts cancel, agree or rest.

What comes out is finite, and the same bits from both engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import RecipeError
from merging_core.masks.registry import masks
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Description
from merging_core.methods.registry import methods
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import assert_same_bits, write

SHAPES = {
    "embeddings.table": (5, 3),
    "layers.0.weight": (4, 3),
    "layers.0.column": (5, 1),
    "layers.0.row": (1, 5),
    "layers.1.filters": (2, 3, 2, 2),
    "layers.1.bias": (7,),
    "scale": (),
    "one": (1,),
}


@pytest.fixture(scope="module")
def refs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A base and four experts: one, its double, its opposite, and one that only half of the leaves know of."""
    folder = tmp_path_factory.mktemp("extremes")
    generator = torch.Generator().manual_seed(2)
    base = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    change = {name: 0.25 * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    rests = {name: change[name] * (place % 2) for place, name in enumerate(SHAPES)}
    made = [base, *({name: base[name] + by * change[name] for name in base} for by in (1.0, 2.0, -1.0))]
    made.append({name: base[name] + rests[name] for name in base})
    return [write(folder / str(place), tensors) for place, tensors in enumerate(made)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LiveEngine:
    return LiveEngine(Catalog(Zoo(tmp_path_factory.mktemp("zoo"), (), {}, {}, {}), allow_files=True), "cpu")


def ends(info: Description) -> Iterator[dict[str, Any]]:
    """Yield the settings with one number at an end of its range, or as near as it may come."""
    for parameter in info.parameters:
        beside = dict([parameter.only_when[:2]]) if parameter.only_when is not None else {}
        for end in (parameter.minimum, parameter.maximum):
            if parameter.kind in ("number", "integer") and end is not None and parameter.name != "steps":
                least = 1e-9 if parameter.minimum_excluded and end == parameter.minimum else 0.0
                yield {**beside, parameter.name: end + least}


def given(refs: list[str], info: MethodInfo, params: dict[str, Any], mask: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield recipes over experts that cancel, and over as many as the method takes."""
    few = {"steps": 3} if "steps" in info.defaults() and params.get("solver", "adam") == "adam" else {}
    for chosen in ((1, 3), (1, 2), (1, 2, 3, 4)):
        count = min(len(chosen), info.models[1] or len(chosen))
        yield {
            "version": 1,
            "base": refs[0],
            "models": [{"ref": refs[place]} for place in chosen[:count]],
            "method": {"name": info.name, "params": {**few, **params}},
            "mask": mask,
        }


def check(engine: LiveEngine, recipes: Iterator[dict[str, Any]]) -> int:
    done = 0
    for one in recipes:
        try:
            recipe = parse_recipe(one)
        except RecipeError:
            continue
        merged = engine.merge(recipe).weights
        assert all(torch.isfinite(leaf).all() for leaf in merged.values()), one["method"]
        assert_same_bits(merged, dict(stream_leaves(engine.plan(recipe))))
        done += 1
    return done


@pytest.mark.parametrize("info", [one for one in methods() if not one.measures], ids=lambda info: info.name)
def test_a_method_at_the_ends_of_its_numbers_is_finite(info: MethodInfo, refs: list[str], engine: LiveEngine) -> None:
    none = {"kind": "none"}
    recipes = (recipe for params in ({}, *ends(info)) for recipe in given(refs, info, params, none))
    assert check(engine, recipes) >= 2


@pytest.mark.parametrize("kind", [mask.name for mask in masks()])
def test_a_mask_at_the_ends_of_its_numbers_is_finite(kind: str, refs: list[str], engine: LiveEngine) -> None:
    info = next(mask for mask in masks() if mask.name == kind)
    added = next(method for method in methods() if method.name == "task_arithmetic")
    recipes = (recipe for params in ({}, *ends(info)) for recipe in given(refs, added, {}, {"kind": kind, **params}))
    assert check(engine, recipes) >= 3
