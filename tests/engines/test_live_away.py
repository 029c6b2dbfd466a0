"""The live engine on a device that is not there: the bits of the CPU, and nothing that takes the device for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine
from merging_core.engines import live as live_room
from merging_core.methods.registry import methods
from tests.engines.away import AWAY, Away, Pretending
from tests.engines.choices import few_steps, weights_for
from tests.engines.test_ring import CHANGES
from tests.engines.world import Family, assert_same_bits, family

FEW = (
    "ties",
    "dare_ties",
    "della",
    "breadcrumbs",
    "iso_c",
    "pcb",
    "sce",
    "model_stock",
    "filters",
    "balanced",
    "norms",
)
"""Of each kind of stage one; the ring has all of them."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("change", FEW)
def test_sliders_on_a_device_give_the_bits_of_the_cpu(
    change: str, small: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: dict[str, Any] = dict(CHANGES[change])
    info = next(one for one in methods() if one.name == found["method"])
    params = {**found.pop("params", {}), **few_steps(info, {})}
    experts = small.experts[: info.models[1] or len(small.experts)]
    made = Family(small.base, experts, small.base_tensors, small.expert_tensors)
    weights = list(weights_for(info)[: len(experts)])
    recipe = made.recipe(found.pop("method"), params, weights=weights, dtype="bfloat16", **found)
    here = LiveEngine(catalog, "cpu").merge(recipe)
    monkeypatch.setattr(live_room.torch.cuda, "synchronize", lambda device: None)
    with Pretending():
        engine = LiveEngine(catalog, str(AWAY))
        there = engine.merge(recipe)
        assert isinstance(there.flat, Away)
        assert engine.layers(recipe).density
        assert_same_bits(here.weights, {name: leaf.cpu() for name, leaf in there.weights.items()})
