"""What the live engine keeps, shares, recomputes and lets go."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine
from merging_core.engines.ladder import ladder, ladder_thresholds
from merging_core.engines.points import points_of
from merging_core.engines.residency import LINE, Residency
from merging_core.errors import CancelledError, NonFiniteError, PlanError
from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask
from merging_core.methods.info import Parameters
from tests.engines.world import SHAPES, Family, assert_same_bits, bits, family, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


@pytest.fixture
def engine(catalog: Catalog) -> Iterator[LiveEngine]:
    yield LiveEngine(catalog, "cpu")


def test_only_what_is_downstream_of_a_change_is_computed_again(
    made: Family, engine: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from merging_core.engines import live, masked

    calls: list[str] = []
    for module, name in ((masked, "mask_flat"), (live, "combine_flat"), (live, "finish_flat")):
        original = getattr(module, name)

        def counted(*args: object, name: str = name, original: object = original) -> object:
            calls.append(name.removesuffix("_flat"))
            return original(*args)  # type: ignore[operator]

        monkeypatch.setattr(module, name, counted)
    steps = [
        (made.recipe("ties"), ["mask"] * 3 + ["combine", "finish"]),
        (made.recipe("ties", **{"lambda": 0.7}), ["finish"]),
        (made.recipe("ties", layer_scaling={"kind": "lines"}), ["finish"]),
        (made.recipe("ties", dtype="bfloat16"), ["finish"]),
        (made.recipe("ties", weights=[1.0, 2.0, 3.0]), ["combine", "finish"]),
        (made.recipe("ties", {"density": 0.4}), ["mask"] * 3 + ["combine", "finish"]),
        (made.recipe("task_arithmetic"), ["combine", "finish"]),
        (made.recipe("ties", **{"lambda": 0.1}), ["finish"]),
    ]
    for recipe, expected in steps:
        calls.clear()
        engine.merge(recipe)
        assert calls == expected


def test_one_experts_density_masks_that_expert_alone(
    made: Family, engine: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from merging_core.engines import masked

    recipe = made.recipe("ties")
    engine.merge(recipe)
    original, calls = masked.mask_flat, []
    monkeypatch.setattr(masked, "mask_flat", lambda *args: calls.append(1) or original(*args))
    models = (replace(recipe.models[0], params=Parameters(density=0.5)), *recipe.models[1:])
    engine.merge(replace(recipe, models=models))
    assert len(calls) == 1


def test_resident_vectors_are_never_written_to(made: Family, engine: LiveEngine) -> None:
    recipes = [
        made.recipe(method, layer_scaling=scaling, dtype=dtype)
        for method in ("task_arithmetic", "ties", "dare_linear", "dare_ties", "linear")
        for dtype in ("float32", "float16")
        for scaling in ({"kind": "constant"}, {"kind": "lines", "alpha_rule": "sum"})
    ]
    for recipe in recipes:
        engine.merge(recipe)
    stores = (engine._residents.store, engine._stages)
    values = [(key, store.peek(key)) for store in stores for key in store.held()]
    held = {key: value for key, value in values if isinstance(value, torch.Tensor)}
    before = {key: bits(value).clone() for key, value in held.items()}
    assert len(before) > 10
    for recipe in recipes:
        engine.merge(recipe).flat.fill_(7.0)
        engine.layers(recipe)
        engine.along_lambda(recipe, 0.9)
        points_of(engine, [recipe, made.base]).mixed((1.0, 0.0)).fill_(7.0)
    assert all(torch.equal(before[key], bits(value)) for key, value in held.items())


def test_a_request_owns_its_weights_and_lets_go_of_them(made: Family, engine: LiveEngine) -> None:
    merged = engine.merge(made.recipe("ties"))
    assert merged.weights["logit_scale"].untyped_storage().data_ptr() == merged.flat.untyped_storage().data_ptr()
    other = engine.merge(made.recipe("ties"))
    assert other.flat.data_ptr() != merged.flat.data_ptr()
    gone, held = weakref.ref(merged.flat), engine.resident_bytes
    del merged, other
    gc.collect()
    assert gone() is None
    engine.merge(made.recipe("ties"))
    assert engine.resident_bytes == held


def test_weights_are_shared_by_content_not_by_name(made: Family, catalog: Catalog, tmp_path: Path) -> None:
    twin = write(tmp_path / "twin", made.expert_tensors[0])
    engine = LiveEngine(catalog, "cpu")
    assert (
        engine.checkpoint(made.experts[0])["logit_scale"].data_ptr()
        == engine.checkpoint(twin)["logit_scale"].data_ptr()
    )


def test_eviction_keeps_the_budget_and_the_bits(made: Family, catalog: Catalog) -> None:
    size = 4 * sum(math.prod(shape) for shape in SHAPES.values())
    tight = LiveEngine(catalog, "cpu", memory_budget=2 * 4 * size + 200)
    roomy = LiveEngine(catalog, "cpu")
    recipes = [made.recipe("ties"), made.recipe("linear"), made.recipe("ties", {"density": 0.5}), made.recipe("ties")]
    for recipe in recipes:
        assert_same_bits(tight.merge(recipe).weights, roomy.merge(recipe).weights)
        assert tight.resident_bytes <= tight.memory_budget
    assert tight.resident_bytes < roomy.resident_bytes


def test_a_family_that_cannot_stay_resident_is_refused_with_its_size(made: Family, catalog: Catalog) -> None:
    with pytest.raises(PlanError, match="fit the 1.0 kB that the sliders hold in memory, but 2.4 kB came"):
        LiveEngine(catalog, "cpu", memory_budget=2_000).merge(made.recipe("ties"))


def test_of_a_moving_slider_only_the_last_values_stay() -> None:
    store = Residency(budget=1 << 20)
    store.get("other", lambda: torch.zeros(1))
    for step in range(LINE + 3):
        store.get(step, lambda: torch.zeros(1), line="slider")
    assert set(store.held()) == {"other", *range(3, LINE + 3)}
    assert store.used == 4 * (LINE + 1)
    small = Residency(budget=8)
    for step in range(2 * LINE):
        small.get(step, lambda: torch.zeros(1), line="slider")
    assert small.held() == (2 * LINE - 2, 2 * LINE - 1)
    assert small.used == 8


def test_a_store_drops_the_least_recently_used_and_builds_once_for_many_threads() -> None:
    store = Residency(budget=8)
    for key in "ab":
        store.get(key, lambda: torch.zeros(1))
    store.get("a", lambda: torch.ones(1))
    store.get("c", lambda: torch.zeros(1))
    assert set(store.held()) == {"a", "c"}
    assert store.get("large", lambda: torch.zeros(3)).numel() == 3 and store.used == 8

    built: list[int] = []
    start = threading.Barrier(8)

    def build() -> torch.Tensor:
        built.append(1)
        return torch.zeros(1)

    def ask() -> None:
        start.wait()
        store.get("shared", build)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]


def test_a_failed_build_is_not_kept() -> None:
    store = Residency(budget=8)
    with pytest.raises(ZeroDivisionError):
        store.get("a", lambda: 1 / 0)
    assert store.get("a", lambda: torch.ones(1)).item() == 1.0


def test_many_threads_get_the_bits_of_one(made: Family, engine: LiveEngine, catalog: Catalog) -> None:
    recipes = [made.recipe("ties", {"density": density}) for density in (0.2, 0.4, 0.6)] * 4
    expected = [LiveEngine(catalog, "cpu").merge(recipe).flat for recipe in recipes[:3]] * 4
    found: dict[int, torch.Tensor] = {}

    def work(index: int) -> None:
        found[index] = engine.merge(recipes[index]).flat

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(recipes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(bits(found[index]), bits(expected[index])) for index in range(len(recipes)))


def test_along_lambda_is_the_merge_at_that_lambda(made: Family, engine: LiveEngine) -> None:
    along = engine.along_lambda(made.recipe("ties"), 0.25)
    whole = engine.merge(made.recipe("ties", **{"lambda": 0.25}))
    assert_same_bits(along.weights, whole.weights)
    assert along.hash == whole.hash != engine.merge(made.recipe("ties")).hash


def test_a_file_that_changed_gets_its_new_weights(tmp_path: Path, catalog: Catalog) -> None:
    made = family(tmp_path)
    engine = LiveEngine(catalog, "cpu")
    before = engine.merge(made.recipe("task_arithmetic"))
    changed = {**made.expert_tensors[0], "logit_scale": torch.tensor(9.0)}
    write(tmp_path / "expert0", changed)
    after = engine.merge(made.recipe("task_arithmetic"))
    assert after.weights["logit_scale"] != before.weights["logit_scale"]
    assert after.hash != before.hash


def test_a_leaf_that_is_not_finite_is_named_when_it_is_read(made: Family, engine: LiveEngine, tmp_path: Path) -> None:
    from dataclasses import replace

    broken = {**made.expert_tensors[0], "logit_scale": torch.tensor(float("nan"))}
    recipe = made.recipe("ties")
    models = (replace(recipe.models[0], ref=write(tmp_path / "broken", broken)), *recipe.models[1:])
    with pytest.raises(NonFiniteError, match="broken: logit_scale"):
        engine.merge(replace(recipe, models=models))


@pytest.mark.parametrize("density", [0.001, 0.2, 0.35, 0.999, 1.0])
@pytest.mark.parametrize("kind", ["magnitude", "breadcrumbs"])
def test_sorted_magnitudes_and_counting_find_the_same_thresholds(kind: str, density: float) -> None:
    generator = torch.Generator().manual_seed(1)
    vector = torch.randn(1_003, generator=generator).round(decimals=1)
    spec = MaskSpec(kind, mask(kind).defaults().changed(density=density))
    for start, stop in ((0, 1_003), (5, 6), (10, 17)):
        steps = ladder(vector, [(0, start), (start, stop), (stop, 1_003)])
        found = ladder_thresholds(steps, [(start, stop)], spec)[0]
        counted = mask(kind).thresholds([vector[start:stop]], spec.params)
        assert found is not None and torch.equal(found, counted)


def test_how_long_a_merge_takes_is_nothing_once_its_combination_is_here(made: Family, engine: LiveEngine) -> None:
    recipe = made.recipe("iso_c")
    assert engine.waiting(recipe) > 0.0
    engine.prepare(recipe)
    assert engine.waiting(recipe) == 0.0
    assert engine.waiting(made.recipe("iso_c", **{"lambda": 0.5})) == 0.0
    assert engine.waiting(made.recipe("iso_c", weights=[1.0, 2.0, 3.0])) > 0.0


def test_a_merge_of_whole_leaves_stops_between_two_of_them(made: Family, engine: LiveEngine) -> None:
    with pytest.raises(CancelledError):
        engine.prepare(made.recipe("iso_c"), lambda: True)
    assert engine.waiting(made.recipe("iso_c")) > 0.0
